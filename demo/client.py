"""The load client as a process of this machine, outside the mesh."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import orjson
from msgspec import Struct

_ENDS_WITHIN = 180  # seconds: it waits for the answers to what it has asked, on a machine that may be busy
_LAST_WORDS = 2000  # characters
NOT_YET: Mapping[str, Any] = MappingProxyType({})


class Report(Struct, frozen=True):
    """What a load client said. `text` is for people; `counted` is its JSON report, once it has ended."""

    requests: int
    failed: int
    text: str
    counted: Mapping[str, Any] = NOT_YET


class LoadClient:
    """A context manager: asks from entering until `stop`. Arguments are those of the load client."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="load-")
        self._report = Path(self._folder.name) / "report.json"
        self._log = Path(self._folder.name) / "log"
        self._arguments = [
            *(sys.executable, "-m", "linnet.local.workloads.load", "--name", name),
            *("--report", str(self._report), *arguments),
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

    def stop(self) -> Report:
        """End the load; what the client counted. Raises TimeoutError with its last words."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired as error:
            last = self._said()[-_LAST_WORDS:]
            raise TimeoutError(f"the load client does not end; its last words:\n{last}") from error
        counted: dict[str, Any] = orjson.loads(self._report.read_bytes())
        return Report(counted["requests"], counted["failed"], self._said(), counted)

    def _said(self) -> str:
        return self._log.read_text(errors="replace")
