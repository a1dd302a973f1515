"""The steady load while the guide runs: through the gateway from this machine, and the mesh's own callers.

The clients' reports are the evidence: nobody else counts.
"""

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.errors import ApiError
from linnet.kube.kinds import POD
from linnet.kube.watch import Applied, Listed, follow

_ENDS_WITHIN = 180  # seconds: it waits for the answers to what it has asked, on a machine that may be busy
_TOTAL = re.compile(
    r"^(?P<name>\S+): (?P<requests>\d+) requests in \d+ s, (?P<failed>\d+) failed$", re.MULTILINE
)
_PROGRESS = re.compile(r"^load: \S+: (?P<requests>\d+) requests, (?P<failed>\d+) failed$", re.MULTILINE)


class Report(Struct, frozen=True):
    """What the load clients said at the end. `text` is for people."""

    requests: int
    failed: int
    text: str


class GatewayLoad:
    """A context manager: the load client on this machine, against the gateway's address."""

    def __init__(self, url: str, *, rate: int = 50, connections: int = 4, fresh: int = 5) -> None:
        self._file = Path(tempfile.mkstemp(suffix=".json")[1])
        self._arguments = [
            *(sys.executable, "-m", "linnet.local.workloads.load", "--name", "through-the-gateway"),
            *("--target", url, "--rate", str(rate), "--connections", str(connections)),
            *("--new-connections", str(fresh), "--report", str(self._file)),
        ]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process and self._process.stdout:
            self._process.stdout.close()
        self._file.unlink(missing_ok=True)

    def stop(self) -> Report:
        """End the load; what its own report says. Raises TimeoutError when it does not end."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        try:
            text, _ = process.communicate(timeout=_ENDS_WITHIN)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the load client has not ended {_ENDS_WITHIN} s after SIGTERM") from error
        report: dict[str, Any] = orjson.loads(self._file.read_bytes())
        return Report(report["requests"], report["failed"], text)


class CallerLogs:
    """A context manager: follows the logs of the load clients, pod after pod, and keeps their last words."""

    def __init__(self, config: Config, namespace: str, labels: str) -> None:
        self._config, self._namespace, self._labels = config, namespace, labels
        self._logs: dict[str, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop and self._work:
            self._loop.call_soon_threadsafe(self._work.cancel)
        self._thread.join(10)

    def reports(self) -> dict[str, Report]:
        """By pod: the final report of a client that ended, the last progress of one that runs."""
        found = {}
        for pod, log in list(self._logs.items()):
            text = log.decode(errors="replace")
            last = [*_PROGRESS.finditer(text), *_TOTAL.finditer(text)]
            if last:
                match = last[-1]
                found[pod] = Report(int(match["requests"]), int(match["failed"]), text)
        return found

    def _run(self) -> None:
        async def work() -> None:
            self._loop = asyncio.get_running_loop()
            self._work = asyncio.create_task(self._follow())
            self._started.set()
            try:
                await self._work
            except asyncio.CancelledError:
                pass

        asyncio.run(work())

    async def _follow(self) -> None:
        async with Client(self._config) as client, asyncio.TaskGroup() as tasks:
            pods = follow(client, POD, self._namespace, labels=self._labels)
            async with aclosing(pods) as events:
                async for event in events:
                    found = event.items if isinstance(event, Listed) else []
                    if isinstance(event, Applied):
                        found = [event.object]
                    for pod in found:
                        name = pod["metadata"]["name"]
                        if name not in self._logs and (pod.get("status") or {}).get("phase") == "Running":
                            self._logs[name] = b""
                            tasks.create_task(self._read(client, name, pod["spec"]["containers"][0]["name"]))

    async def _read(self, client: Client, pod: str, container: str) -> None:
        path = POD.path(self._namespace, pod, "log")
        try:
            async with aclosing(
                client.stream("GET", path, params={"follow": "true", "container": container})
            ) as chunks:
                async for chunk in chunks:
                    self._logs[pod] += chunk
        except (ApiError, ConnectionError):
            pass  # the pod is gone; what it said before is kept
