"""The load client on this machine, through the gateway; a context manager."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from soak.cycle import Failed
from soak.verdict import GATEWAY

_FIRST_ANSWERS, _LAST_ANSWERS = 60, 120  # seconds


class Entrance:
    """Runs until `stop`, which gives the client's own report."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="soak-")
        self._report = Path(self._folder.name) / "report.json"
        self._log = Path(self._folder.name) / "log"
        self._arguments = [
            *(sys.executable, "-m", "linnet.local.workloads.load", "--name", GATEWAY),
            *("--wait", str(_FIRST_ANSWERS), "--report", str(self._report), *targets),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def stop(self) -> dict[str, Any]:
        """End the load; what its report says."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_LAST_ANSWERS)
        except subprocess.TimeoutExpired:
            last = self._log.read_text(errors="replace")[-2000:]
            raise Failed(f"the load client does not end; its last words:\n{last}") from None
        report: dict[str, Any] = orjson.loads(self._report.read_bytes())
        return report
