"""What istiod shows of itself: connected proxies, what each was sent, what istiod knows.

A page is a function from a query to an answer; HTTP (`debug`) and xDS (`inspection`) serve the same pages.

Source: Istio, debug endpoints of istiod: names, fields, error texts (clients match them literally).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import Struct

from linnet.control_plane import dumps
from linnet.control_plane.identity import Identity
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
NO_PAGE = "404 page not found"
OF_ONE_NAMESPACE = frozenset({"syncz", "config_dump", "edsz"})
"""Pages that anybody may see of the proxies of their own namespace."""

Query = Mapping[str, str]
Show = Callable[[], object]
"""Gives something that JSON can hold."""


class Answer(Struct, frozen=True):
    """What a page shows: text, or something that JSON can hold."""

    content: object
    status: int = 200


class Denied(Exception):
    """The caller may not see this page; the message says why."""


def namespace_of(page: str, caller: Caller, identity: Identity | None, root_namespace: str) -> str:
    """The only namespace that a caller may see on a page; empty: all of them.

    Raises:
        Denied: it may see nothing of the page.
    """
    if identity is None:
        if caller.loopback:
            return ""  # processes of this pod, and port-forwards
        raise Denied("only callers that prove who they are may see this")
    if identity.namespace == root_namespace:
        return ""
    if page in OF_ONE_NAMESPACE:
        return identity.namespace
    raise Denied(f"only callers of namespace {root_namespace} may see this, not {identity.spiffe}")


@dataclass(slots=True)
class Pages:
    """The pages by name. `tables` are further ones that need no query."""

    proxies: Proxies
    tables: Mapping[str, Show]

    @property
    def names(self) -> tuple[str, ...]:
        """All pages, sorted."""
        return tuple(sorted({*_PAGES, *self.tables, "list"}))

    def answer(self, name: str, query: Query, namespace: str = "") -> Answer:
        """A page, as far as it shows proxies of this namespace (empty: of all)."""
        if name == "list":
            return Answer([page for page in self.names if page != "list"])
        if name in self.tables:
            return Answer(self.tables[name]())
        page = _PAGES.get(name)
        return page(self, query, namespace) if page is not None else Answer(NO_PAGE, 404)

    def seats(self, namespace: str = "") -> list[Seat]:
        """The proxies of a namespace (empty: all), the newest last."""
        held = self.proxies.seats.values()
        return [seat for seat in held if namespace in ("", seat.claim.namespace)]

    def find(self, proxy: str, namespace: str = "") -> Seat | None:
        """The newest connection of a proxy, by `pod.namespace` or else by a part of the connection's id."""
        seats = self.seats(namespace)[::-1]
        named = (seat for seat in seats if proxy == proxy_id(seat))
        return next(named, None) or next((s for s in seats if proxy in s.connection.id), None)


def proxy_id(seat: Seat) -> str:
    """`pod.namespace`."""
    return f"{seat.claim.pod}.{seat.claim.namespace}"


def _syncz(pages: Pages, query: Query, namespace: str) -> Answer:
    asked = query.get("namespace", "")
    return Answer([sync_row(s) for s in pages.seats(namespace) if asked in ("", s.claim.namespace)])


def _adsz(pages: Pages, query: Query, namespace: str) -> Answer:
    return Answer(_clients(_matching(pages, query, namespace), full=True))


def _connections(pages: Pages, query: Query, namespace: str) -> Answer:
    return Answer(_clients(_matching(pages, query, namespace), full=False))


def _config_dump(pages: Pages, query: Query, namespace: str) -> Answer:
    return _dump(pages, query, namespace, endpoints="include_eds" in query)


def _edsz(pages: Pages, query: Query, namespace: str) -> Answer:
    return _dump(pages, query, namespace, only="eds")


def _dump(pages: Pages, query: Query, namespace: str, *, endpoints: bool = False, only: str = "") -> Answer:
    if not query.get("proxyID"):
        return Answer(NO_PROXY_ID, 400)
    seat = pages.find(query["proxyID"], namespace)
    if seat is None:
        return Answer(NOT_CONNECTED, 404)
    types = only or query.get("types", "")
    wanted = tuple(filter(None, types.split(",")))
    return Answer(dumps.config_dump(seat.connection.stream.line, wanted, endpoints=endpoints))


_PAGES: Mapping[str, Callable[[Pages, Query, str], Answer]] = {
    "syncz": _syncz,
    "adsz": _adsz,
    "connections": _connections,
    "config_dump": _config_dump,
    "edsz": _edsz,
}


def _matching(pages: Pages, query: Query, namespace: str) -> list[Seat]:
    """Seats whose connection id contains the query's `proxyID`, the newest first."""
    part = query.get("proxyID", "")
    return [seat for seat in pages.seats(namespace)[::-1] if part in seat.connection.id]


def sync_row(seat: Seat) -> dict[str, object]:
    """What a proxy was sent and has acknowledged, as proxy-status reads it; what is empty is left out."""
    node, watches = seat.connection.node, seat.connection.stream.watches
    row: dict[str, object] = {
        "cluster_id": node.metadata.get("CLUSTER_ID"),
        "proxy": proxy_id(seat),
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
