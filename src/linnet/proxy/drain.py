"""The end of a proxy without a lost request (decision D23).

    preStop hooks (of the proxy and of the applications) ─ GET 15020/drain ─▶ Envoy tells its clients to go
                                                                            │ (connection: close, GOAWAY)
    … meanwhile the endpoint leaves the mesh, new connections are still accepted …
                                                                            ▼
    answered when nobody is connected any more: at least 3 s, at most the grace period less 5 s; then SIGTERM
    … the application ends, its last calls go through Envoy, which ends after it …

Source: Envoy, `/drain_listeners?graceful&skip_exit`; Kubernetes, container hooks come before SIGTERM and
count against the pod's grace period.
"""

import asyncio
from collections.abc import Mapping

import structlog
from msgspec import Struct

from linnet.proxy.host import Host
from linnet.proxy.http import ask
from linnet.proxy.settings import Settings

LEAST = 3.0  # seconds: longer than it takes until everybody knows that the endpoint is gone
RESERVE = 5.0  # seconds of the grace period that are left for SIGTERM
GRACE = 30.0  # seconds, Kubernetes' default
MOMENT = 2.0  # seconds of the grace period that Envoy needs to end
LOOK = 0.2  # seconds between looks
QUIET_LOOKS = 3  # in a row


def hook_limit(query: Mapping[str, str]) -> float:
    """Seconds that a preStop hook may take: `grace` of its query less RESERVE, but at least LEAST."""
    try:
        grace = float(query.get("grace") or GRACE)
    except ValueError:
        grace = GRACE
    return max(LEAST, grace - RESERVE)


class Connections(Struct, frozen=True):
    """Downstream connections of an Envoy."""

    open: int = 0
    ever: int = 0  # since its start: a client that comes and goes between two looks moves it


def connections(stats: str, *, ports: frozenset[int], inbound: int | None) -> Connections:
    """Downstream connections in Envoy's plain-text statistics (pure).

    `ports` are listeners that do not count (admin, readiness, metrics); with `inbound` only that port counts.
    Lines read ``listener.<address>_<port>.downstream_cx_active: <n>`` and ``…downstream_cx_total: <n>``.
    """
    found = {"downstream_cx_active": 0, "downstream_cx_total": 0}
    for line in stats.splitlines():
        name, _, value = line.partition(": ")
        listener, _, counter = name.removeprefix("listener.").rpartition(".")
        if not name.startswith("listener.") or ".worker_" in name or counter not in found:
            continue  # a worker's is a part of its listener's number
        port = listener.rpartition("_")[2]
        if not port.isdecimal() or int(port) in ports or (inbound is not None and int(port) != inbound):
            continue
        found[counter] += int(value)
    return Connections(found["downstream_cx_active"], found["downstream_cx_total"])


class _Quiet:
    """Whether nobody was connected, and nobody came, over some looks."""

    def __init__(self) -> None:
        self._looks, self._before = 0, Connections()

    def after(self, look: Connections) -> bool:
        still = look.open == 0 and look.ever == self._before.ever
        self._looks = self._looks + 1 if still else int(look.open == 0)
        self._before = look
        return self._looks >= QUIET_LOOKS


class Drain:
    """The drain of one proxy: begun once, awaited by as many hooks as there are."""

    def __init__(self, settings: Settings, host: Host, log: structlog.typing.FilteringBoundLogger) -> None:
        self._settings, self._host, self._log = settings, host, log
        self._loop = asyncio.get_running_loop()
        self._began = self._ends = 0.0  # the loop's clock
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
        self._ends = max(self._ends, self._began + limit + RESERVE)
        quiet = _Quiet()
        while (elapsed := self._loop.time() - self._began) < limit:
            if quiet.after(await self._look(inbound_only=True)) and elapsed >= LEAST:
                self._log.info("drain-idle", seconds=round(elapsed, 1))
                return True
            await asyncio.sleep(LOOK)
        self._log.warning("drain-at-its-limit", seconds=limit)
        return False

    async def wait_for_all(self) -> None:
        """Return when no connection in either direction is open, in time for Envoy to end.

        The application is ending beside us: what of the grace period its hook did not need is its own.
        """
        quiet = _Quiet()
        while self._loop.time() < self._ends - MOMENT:
            if quiet.after(await self._look(inbound_only=False)):
                return
            await asyncio.sleep(LOOK)

    async def _look(self, *, inbound_only: bool) -> Connections:
        """Connections now; none when Envoy does not answer any more."""
        settings = self._settings
        own = frozenset({settings.admin_port, settings.readiness_port, settings.prometheus_port})
        inbound = 15006 if inbound_only and settings.role == "sidecar" else None
        try:
            stats = await self._admin("GET", "/stats?filter=downstream_cx_%28active%7Ctotal%29$")
        except (OSError, TimeoutError):
            return Connections()
        return connections(stats.decode(), ports=own, inbound=inbound)

    async def _admin(self, method: str, target: str) -> bytes:
        sock = await self._host.connect(self._settings.admin_port)
        answer = await ask(sock, method, target, host="localhost", timeout=2.0)
        if answer.status != 200:
            raise OSError(f"Envoy answered {answer.status} to {method} {target}")
        return answer.body
