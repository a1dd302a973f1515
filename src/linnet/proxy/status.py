"""Port 15020: is the proxy ready, what does it measure, the application's probes, and the drain.

    /healthz/ready                     200 once Envoy holds its first configuration, 503 before and at the end
    /stats/prometheus, /metrics        the agent's, Envoy's and the application's metrics in one
    /app-health/…, /app-lifecycle/…    forwarded as ISTIO_KUBE_APP_PROBERS says
    /drain?grace=30                    the preStop hook: answered when the proxy may be stopped (`drain.py`)
    /quitquitquit                      POST from the pod itself, only where it was allowed

Source: Istio, status port of pilot-agent.
"""

import asyncio
import re
from collections.abc import Callable
from urllib.parse import quote

import structlog
from msgspec import Struct

from linnet.proxy.drain import Drain, hook_limit
from linnet.proxy.host import Host
from linnet.proxy.http import Request, Response, ask
from linnet.proxy.probes import probe
from linnet.proxy.settings import Settings

_READY_STATS = (
    "^(server.state|listener_manager.workers_started|cluster_manager.cds.update_(success|rejected)"
    "|listener_manager.lds.update_(success|rejected))$"
)
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_ADMIN_TIMEOUT = 3.0  # seconds


class Look(Struct, frozen=True):
    """What Envoy's statistics say about its readiness; `reason` is empty when it is ready."""

    reason: str


def look(stats: str) -> Look:
    """Whether Envoy is live with a configuration that it accepted, from its plain-text statistics (pure)."""
    values = {}
    for line in stats.splitlines():
        name, _, value = line.partition(": ")
        if value.isdecimal():
            values[name] = int(value)
    cds, lds = "cluster_manager.cds.update_", "listener_manager.lds.update_"
    if not values.get(f"{cds}success") or not values.get(f"{lds}success"):
        counts = "; ".join(
            f"{kind} updates: {values.get(f'{prefix}success', 0)} successful, "
            f"{values.get(f'{prefix}rejected', 0)} rejected"
            for kind, prefix in (("cds", cds), ("lds", lds))
        )
        return Look(f"config not received from XDS server (is Istiod running?): {counts}")
    if values.get("server.state") != 0 or values.get("listener_manager.workers_started") != 1:
        return Look("server is not live")
    return Look("")


class Status:
    """Answers port 15020 for one proxy."""

    def __init__(
        self,
        settings: Settings,
        host: Host,
        drain: Drain,
        *,
        own_metrics: Callable[[], str],
        quit_now: Callable[[], None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._settings, self._host, self._drain = settings, host, drain
        self._own_metrics, self._quit_now, self._log = own_metrics, quit_now, log
        self.ready = asyncio.Event()

    async def answer(self, request: Request) -> Response:
        """The response to any request."""
        match request.path:
            case "/healthz/ready":
                return await self._readiness()
            case "/stats/prometheus" | "/metrics":
                return await self._metrics(request)
            case "/drain":
                return await self._drained(request)
            case "/quitquitquit":
                return self._quit(request)
        if request.path in self._settings.probers:
            prober = self._settings.probers[request.path]
            return await probe(prober, self._settings, self._host, request.headers)
        known = request.path.startswith(("/app-health/", "/app-lifecycle/"))
        return Response(400 if known else 404, b"there is no such probe\n" if known else b"not found\n")

    async def _readiness(self) -> Response:
        if self._drain.begun.is_set():
            return Response(503, b"the proxy is ending\n")
        if not self.ready.is_set():
            try:
                stats = await self._admin(f"/stats?filter={quote(_READY_STATS)}")
            except (OSError, TimeoutError) as error:
                return Response(503, f"Envoy does not answer: {error}\n".encode())
            seen = look(stats.decode())
            if seen.reason:
                return Response(503, seen.reason.encode() + b"\n")
            self.ready.set()
            self._log.info("ready")
        return Response(200)

    async def _metrics(self, request: Request) -> Response:
        parts = [self._own_metrics()]
        query = f"?{request.raw_query}" if request.raw_query else ""
        try:
            envoy = await self._admin(f"/stats/prometheus{query}")
            parts.append(rename_metrics(envoy.decode(errors="replace")))
        except (OSError, TimeoutError) as error:
            self._log.warning("scrape-failed", of="envoy", error=str(error))
        scrape = self._settings.scrape
        if scrape:
            try:
                sock = await self._host.connect(scrape.port, host=self._settings.ip)
                answer = await ask(
                    sock, "GET", scrape.path, host=f"{self._settings.ip}:{scrape.port}", timeout=5.0
                )
                parts.append(answer.body.decode(errors="replace").replace("# EOF\n", ""))
            except (OSError, TimeoutError) as error:
                self._log.warning("scrape-failed", of="application", error=str(error))
        body = "".join(part if part.endswith("\n") or not part else part + "\n" for part in parts)
        return Response(200, body.encode(), {"content-type": _TEXT})

    async def _drained(self, request: Request) -> Response:
        if not self._trusted(request.peer):
            self._log.warning("drain-refused", peer=request.peer)
            return Response(403, b"only the node and the pod itself may drain it\n")
        await self._drain.begin()
        idle = await self._drain.wait(hook_limit(request.query))
        return Response(200, b"idle\n" if idle else b"connections are left\n")

    def _quit(self, request: Request) -> Response:
        if (
            request.method != "POST"
            or not self._settings.quit_allowed
            or not _own(request.peer, self._settings)
        ):
            return Response(404, b"not found\n")
        self._quit_now()
        return Response(200)

    def _trusted(self, peer: str) -> bool:
        """Whether this is the kubelet or the pod: nobody else may take a pod out of the mesh."""
        return _own(peer, self._settings) or peer in self._settings.node_addresses

    async def _admin(self, target: str) -> bytes:
        sock = await self._host.connect(self._settings.admin_port)
        answer = await ask(sock, "GET", target, host="localhost", timeout=_ADMIN_TIMEOUT)
        if answer.status != 200:
            raise OSError(f"Envoy answered {answer.status} to {target}")
        return answer.body


def _own(peer: str, settings: Settings) -> bool:
    return peer == settings.ip or peer.startswith("127.")


def rename_metrics(text: str) -> str:
    """Envoy's metrics with the mesh's own named as Istio's: `envoy_istio_…` becomes `istio_…` (pure)."""
    return re.sub(r"^(# (?:TYPE|HELP) )?envoy_istio_", r"\1istio_", text, flags=re.MULTILINE)
