"""The end of a proxy without a lost request (decision D23).

    preStop hooks (of the proxy and of the applications) ─ GET 15020/drain ─▶ Envoy tells its clients to go
                                                                            │ (connection: close, GOAWAY)
    … meanwhile the endpoint leaves the mesh, new connections are still accepted …
                                                                            ▼
    answered when nobody is connected any more: at least 3 s, at most the grace period less 5 s; then SIGTERM

Source: Envoy, `/drain_listeners?graceful&skip_exit`; Kubernetes, container hooks come before SIGTERM and
count against the pod's grace period.
"""

import asyncio
from collections.abc import Mapping

import structlog

from linnet.proxy.host import Host
from linnet.proxy.http import ask
from linnet.proxy.settings import Settings

LEAST = 3.0  # seconds: longer than it takes until everybody knows that the endpoint is gone
RESERVE = 5.0  # seconds of the grace period that are left for SIGTERM
GRACE = 30.0  # seconds, Kubernetes' default
LOOK = 0.2  # seconds between looks
QUIET_LOOKS = 3  # in a row


def hook_limit(query: Mapping[str, str]) -> float:
    """Seconds that a preStop hook may take: `grace` of its query less RESERVE, but at least LEAST."""
    try:
        grace = float(query.get("grace") or GRACE)
    except ValueError:
        grace = GRACE
    return max(LEAST, grace - RESERVE)


def connections(stats: str, *, ports: frozenset[int], inbound: int | None) -> int:
    """Open downstream connections in Envoy's plain-text statistics (pure).

    `ports` are listeners that do not count (admin, readiness, metrics); with `inbound` only that port counts.
    Lines read ``listener.<address>_<port>.downstream_cx_active: <n>``.
    """
    total = 0
    for line in stats.splitlines():
        name, _, value = line.partition(": ")
        if not name.startswith("listener.") or not name.endswith(".downstream_cx_active"):
            continue
        if ".worker_" in name:
            continue  # a part of its listener's number
        listener = name.removeprefix("listener.").removesuffix(".downstream_cx_active")
        port = listener.rpartition("_")[2]
        if not port.isdecimal() or int(port) in ports or (inbound is not None and int(port) != inbound):
            continue
        total += int(value)
    return total


class Drain:
    """The drain of one proxy: begun once, awaited by as many hooks as there are."""

    def __init__(self, settings: Settings, host: Host, log: structlog.typing.FilteringBoundLogger) -> None:
        self._settings, self._host, self._log = settings, host, log
        self._idle = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self.begun = asyncio.Event()

    async def begin(self) -> None:
        """Tell Envoy once to send its clients away while it goes on serving them."""
        if self.begun.is_set():
            return
        self.begun.set()
        self._began = self._loop.time()
        which = "&inboundonly" if self._settings.role == "sidecar" else ""
        try:
            await self._admin("POST", f"/drain_listeners?graceful{which}&skip_exit")
            self._log.info("drain-begun")
        except (OSError, TimeoutError) as error:
            self._log.warning("drain-not-begun", error=str(error))

    async def wait(self, limit: float) -> bool:
        """Return after LEAST when nobody is connected, at most after `limit` seconds; whether it is idle."""
        quiet = 0
        while (elapsed := self._loop.time() - self._began) < limit:
            quiet = quiet + 1 if await self._count(inbound_only=True) == 0 else 0
            if quiet >= QUIET_LOOKS and elapsed >= LEAST:
                self._log.info("drain-idle", seconds=round(elapsed, 1))
                return True
            await asyncio.sleep(LOOK)
        self._log.warning("drain-at-its-limit", seconds=limit)
        return False

    async def wait_for_all(self, limit: float) -> None:
        """Return when no connection in either direction is open, at most after `limit` seconds."""
        quiet, end = 0, self._loop.time() + limit
        while self._loop.time() < end:
            quiet = quiet + 1 if await self._count(inbound_only=False) == 0 else 0
            if quiet >= QUIET_LOOKS:
                return
            await asyncio.sleep(LOOK)

    async def _count(self, *, inbound_only: bool) -> int:
        """Open connections; none when Envoy does not answer any more."""
        settings = self._settings
        own = frozenset({settings.admin_port, settings.readiness_port, settings.prometheus_port})
        inbound = 15006 if inbound_only and settings.role == "sidecar" else None
        try:
            stats = await self._admin("GET", "/stats?filter=downstream_cx_active$")
        except (OSError, TimeoutError):
            return 0
        return connections(stats.decode(), ports=own, inbound=inbound)

    async def _admin(self, method: str, target: str) -> bytes:
        sock = await self._host.connect(self._settings.admin_port)
        answer = await ask(sock, method, target, host="localhost", timeout=2.0)
        if answer.status != 200:
            raise OSError(f"Envoy answered {answer.status} to {method} {target}")
        return answer.body
