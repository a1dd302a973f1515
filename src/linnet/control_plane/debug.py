"""What istiod shows of itself on `/debug/...`: connected proxies, what each was sent, what istiod knows.

Callers from this pod (port-forwards included) see everything; others must prove to be of the root namespace.

Source: Istio, debug endpoints of istiod: paths, fields, error texts (clients match them literally).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from linnet.control_plane import dumps, http
from linnet.control_plane.identity import Identity, Unauthenticated
from linnet.control_plane.proxies import Proxies, Seat
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from linnet.xds.transport import Caller
from linnet.xds.watches import Watch

ECDS = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
_COLUMNS = {
    CLUSTER: "cluster",
    LISTENER: "listener",
    ROUTES: "route",
    ENDPOINTS: "endpoint",
    ECDS: "extensionconfig",
}
NOT_CONNECTED = "Proxy not connected to this Pilot instance. It may be connected to another instance."
NO_PROXY_ID = "You must provide a proxyID in the query string"

Show = Callable[[], object]
"""Gives something that JSON can hold."""


@dataclass(slots=True)
class Debug:
    """The handlers below `/debug`. `tables` are further pages that need no parameters."""

    proxies: Proxies
    authenticate: Callable[[Caller], Awaitable[Identity | None]]
    root_namespace: str
    tables: Mapping[str, Show]

    def routes(self) -> http.Routes:
        """Path -> handler."""
        pages: dict[str, http.Handler] = {
            "syncz": self._syncz,
            "adsz": self._adsz,
            "connections": self._connections,
            "config_dump": self._config_dump,
            "edsz": self._edsz,
        }
        for name, show in self.tables.items():
            pages[name] = _table(show)
        names = sorted(pages)

        async def listing(request: web.BaseRequest) -> web.StreamResponse:
            return http.json(names, request)

        async def index(_request: web.BaseRequest) -> web.StreamResponse:
            rows = "".join(f'<li><a href="/debug/{name}">{name}</a></li>' for name in names)
            return web.Response(text=f"<h1>istiod</h1><ul>{rows}</ul>\n", content_type="text/html")

        guarded = {f"/debug/{name}": self._guarded(page) for name, page in pages.items()}
        return {"/debug": index, "/debug/list": self._guarded(listing), **guarded}

    def _guarded(self, handler: http.Handler) -> http.Handler:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            caller = _caller(request)
            if not caller.loopback:
                try:
                    identity = await self.authenticate(caller)
                except Unauthenticated as error:
                    return http.text(f"unauthenticated: {error}", status=401)
                except OSError as error:
                    return http.text(f"cannot verify the caller: {error}", status=503)
                if identity is None or identity.namespace != self.root_namespace:
                    return http.text("only callers of the root namespace may see this", status=403)
            return await handler(request)

        return handle

    async def _syncz(self, request: web.BaseRequest) -> web.StreamResponse:
        namespace = request.query.get("namespace", "")
        seats = (s for s in self.proxies.seats.values() if namespace in ("", s.claim.namespace))
        return http.json([sync_row(seat) for seat in seats], request)

    async def _adsz(self, request: web.BaseRequest) -> web.StreamResponse:
        return http.json(_clients(self._matching(request), full=True), request)

    async def _connections(self, request: web.BaseRequest) -> web.StreamResponse:
        return http.json(_clients(self._matching(request), full=False), request)

    async def _config_dump(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._dump(request, endpoints="include_eds" in request.query)

    async def _edsz(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._dump(request, only="eds")

    def _dump(
        self, request: web.BaseRequest, *, endpoints: bool = False, only: str = ""
    ) -> web.StreamResponse:
        if not request.query.get("proxyID"):
            return http.text(NO_PROXY_ID, status=400)
        seat = next(iter(self._matching(request)), None)
        if seat is None:
            return http.text(NOT_CONNECTED, status=404)
        line = seat.connection.stream.line
        types = only or request.query.get("types", "")
        wanted = tuple(filter(None, types.split(",")))
        return http.json(dumps.config_dump(line, wanted, endpoints=endpoints), request)

    def _matching(self, request: web.BaseRequest) -> list[Seat]:
        """Seats whose connection id contains the query's `proxyID`, the newest first."""
        part = request.query.get("proxyID", "")
        found = [seat for seat in self.proxies.seats.values() if part in seat.connection.id]
        return found[::-1]


def sync_row(seat: Seat) -> dict[str, object]:
    """What a proxy was sent and has acknowledged, as proxy-status reads it; what is empty is left out."""
    node, watches = seat.connection.node, seat.connection.stream.watches
    row: dict[str, object] = {
        "cluster_id": node.metadata.get("CLUSTER_ID"),
        "proxy": f"{seat.claim.pod}.{seat.claim.namespace}",
        "proxy_type": seat.claim.kind.value,
        "proxy_version": node.version,
        "istio_version": node.metadata.get("ISTIO_VERSION"),
        "resources": {type_url: _resource_row(watch) for type_url, watch in watches.items()},
    }
    for type_url, column in _COLUMNS.items():
        watch = watches.get(type_url)
        if watch is not None:
            row |= {f"{column}_sent": watch.sent, f"{column}_acked": watch.acked}
    return {key: value for key, value in row.items() if value}


def _resource_row(watch: Watch) -> dict[str, object]:
    row: dict[str, object] = {
        "sent": watch.sent,
        "acked": watch.acked,
        "sentTime": timestamp(watch.sent_at) if watch.sent_at else "",
        "lastError": watch.error,
        "rejected": {name: error for name, error in watch.rejected.items() if name},
    }
    return {key: value for key, value in row.items() if value}


def _clients(seats: Iterable[Seat], *, full: bool) -> dict[str, object]:
    clients = []
    for seat in seats:
        connection = seat.connection
        client: dict[str, object] = {
            "connectionId": connection.id,
            "connectedAt": timestamp(connection.connected_at),
            "address": str(connection.caller),
        }
        if full:
            client["labels"] = connection.node.metadata.get("LABELS") or {}
            client["metadata"] = dict(connection.node.metadata)
            client["identity"] = connection.identity
            client["watches"] = {
                type_url: ["*"] if watch.wildcard else sorted(watch.names)
                for type_url, watch in connection.stream.watches.items()
            }
        clients.append(client)
    return {"totalClients": len(clients), "clients": clients}


def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _table(show: Show) -> http.Handler:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return http.json(show(), request)

    return handle


def _caller(request: web.BaseRequest) -> Caller:
    peer: Any = request.transport.get_extra_info("peername") if request.transport else None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return Caller(
        host=str(peer[0]) if peer else "0.0.0.0",  # unknown: not this machine
        token=token.strip() if scheme.lower() in ("bearer", "istio") else "",
        cluster=request.headers.get("clusterid", ""),
    )
