"""Faults at moments that a seed decides: what is killed, and which requests may know of it.

istiod       of either revision, killed: nothing may fail
api server   stopped for 30 s, then killed: nothing may fail
envoy        of the gateway, the server or the caller, killed: what was in flight through it may fail
node         its process killed, and all pods with it, as with a machine: all may fail until they are back
"""

import asyncio
import json
import os
import random
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct

from linnet.netlink.dial import connected
from linnet.proxy.http import ask

KINDS = ("istiod", "api server", "envoy", "node")
_ABSENT = 30.0  # seconds without an API server
_PAUSE = (12.0, 35.0)  # seconds between faults, at least and at most
_BACK = 180.0  # seconds in which the node must be back
_RUNS_AGAIN = 5  # good answers in a row
_APPS = ("web-", "caller-", "istio-ingressgateway-")
_SETTLED = timedelta(seconds=8)  # that all pods are ready, before it counts
_LOOK = 0.2  # seconds between looks at what comes back
_CLOSE = timedelta(seconds=1)  # until a client sees that a connection is dead, on a slow machine
_KNOWN = timedelta(seconds=5)  # until the client of a killed Envoy has its failure, other attempts included


class Fault(Struct, frozen=True):
    """Something that was done to the cluster, for as long as it lasted; `pod` if it was one's process."""

    kind: str
    at: datetime
    until: datetime
    pod: str = ""

    @property
    def line(self) -> str:
        """For people."""
        lasted = (self.until - self.at).total_seconds()
        for_long = f" for {lasted:.1f} s" if lasted > 1 else ""
        return f"{self.at.isoformat(timespec='milliseconds')} {self.kind} {self.pod}{for_long}"

    def touches(self, began: datetime, ended: datetime, client: str, through: frozenset[str]) -> bool:
        """Whether a request of a client, through some pods (empty: not known), may know of it."""
        last = self.until if self.kind == "node" or self.pod == client else self.at
        in_flight = began <= last + _CLOSE and ended >= self.at - _CLOSE
        if self.kind == "envoy":
            return in_flight and ended <= last + _KNOWN and bool(through & {self.pod, ""})
        return in_flight and self.kind == "node"


class Faults:
    """A context manager: does one fault after the other, in an order and at moments by the seed."""

    def __init__(
        self, seed: int, state: Path, url: str, settled: Callable[[], bool], say: Callable[[str], None]
    ) -> None:
        self.done: list[Fault] = []
        self._settled = settled  # whether all pods are ready
        self._random = random.Random(seed)
        self._daemon, self._url, self._say = state / "linnet" / "local" / "daemon.json", url, say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Do no more; what is under way is cut short."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        order: list[str] = []
        while not self._stop.wait(self._random.uniform(*_PAUSE)):
            if not order:
                order = self._random.sample(KINDS, len(KINDS))
            fault = self._do(order.pop())
            if fault is not None:
                self.done.append(fault)
                self._say(f"\n# fault: {fault.line}\n")
                self._wait_until_settled()  # one fault at a time

    def _do(self, kind: str) -> Fault | None:
        if kind in ("istiod", "envoy"):
            pods = dict(self._processes("istiod-" if kind == "istiod" else _APPS, envoy=kind == "envoy"))
            if not pods:
                return None
            pod = self._random.choice(sorted(pods))
            at = datetime.now(UTC)
            _signal(pods[pod], signal.SIGKILL)
            if kind == "envoy":
                self._wait_for_envoy(pod, pods[pod])
            return Fault(kind, at, datetime.now(UTC), pod)
        number = self._daemons()["api" if kind == "api server" else "node"]
        at = datetime.now(UTC)
        if kind == "api server":
            _signal(number, signal.SIGSTOP)
            self._stop.wait(_ABSENT)
            _signal(number, signal.SIGKILL)
        else:
            _signal(number, signal.SIGKILL)
            self._wait_for_answers()
            self._wait_until_settled()
        return Fault(kind, at, datetime.now(UTC))

    def _daemons(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self._daemon.read_text())["processes"]
        return found

    def _processes(self, prefix: str | tuple[str, ...], *, envoy: bool) -> Iterator[tuple[str, int]]:
        """Pods by their names, and their processes, of this cluster alone."""
        node = self._daemons()["node"]
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            try:
                argv, environment = _read(name, "cmdline"), _read(name, "environ")
                if not _descends(int(name), node):
                    continue
            except (OSError, ValueError):
                continue  # it has ended
            pod = next((pair[9:] for pair in environment if pair.startswith("POD_NAME=")), "")
            if pod.startswith(prefix) and argv[0].endswith("/envoy") is envoy:
                yield pod, int(name)

    def _wait_for_envoy(self, pod: str, killed: int) -> None:
        """Until the agent in a pod says that its next Envoy is ready, or the pod is no more."""
        end = datetime.now(UTC) + timedelta(seconds=_BACK)
        while datetime.now(UTC) < end and not self._stop.wait(_LOOK):
            number = dict(self._processes(pod, envoy=True)).get(pod)
            if number is None and not dict(self._processes(pod, envoy=False)):
                return  # a rollout was faster
            if number not in (None, killed) and asyncio.run(_ready(number)):
                return

    def _wait_until_settled(self) -> None:
        """Until all pods have been ready for a while."""
        end, since = datetime.now(UTC) + timedelta(seconds=_BACK), datetime.now(UTC)
        while datetime.now(UTC) < min(end, since + _SETTLED) and not self._stop.wait(_LOOK):
            if not self._settled():
                since = datetime.now(UTC)

    def _wait_for_answers(self) -> None:
        """Until the gateway answers again, some times in a row."""
        end, good = datetime.now(UTC) + timedelta(seconds=_BACK), 0
        while good < _RUNS_AGAIN and datetime.now(UTC) < end:
            try:
                with urllib.request.urlopen(self._url, timeout=5):
                    good += 1
            except OSError:
                good = 0
                threading.Event().wait(_LOOK)


async def _ready(process: int) -> bool:
    """Whether the agent beside an Envoy says that it is ready."""
    try:
        namespace = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        sock = await connected(namespace, "127.0.0.1", 15020, timeout=2.0)
        answer = await ask(sock, "GET", "/healthz/ready", host="localhost", timeout=5.0)
    except (OSError, TimeoutError):
        return False
    finally:
        os.close(namespace)
    return answer.status == 200


def _read(process: str, name: str) -> list[str]:
    with open(f"/proc/{process}/{name}", "rb") as file:
        return file.read().decode(errors="replace").split("\0")


def _descends(process: int, ancestor: int) -> bool:
    """Whether a process is another one's child, or a child of its child. Raises OSError, ValueError."""
    while process > 1:
        if process == ancestor:
            return True
        with open(f"/proc/{process}/stat", "rb") as file:
            process = int(file.read().rpartition(b")")[2].split()[1])
    return False


def _signal(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass  # it was faster
