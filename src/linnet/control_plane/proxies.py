"""The connected proxies: who may connect, and which line of offers each of them follows."""

import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import structlog
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from msgspec.structs import replace

from linnet.control_plane.claims import BadNode, claim_of, refusal
from linnet.control_plane.identity import Identity
from linnet.control_plane.metrics import Metrics
from linnet.model.proxy import ProxyClaim, ProxyView
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Offer
from linnet.xds.ads import Connection
from linnet.xds.messages import Node, Request
from linnet.xds.offers import Line, Work
from linnet.xds.stream import Dialect, Outcome, Response, Stream
from linnet.xds.transport import Caller

SHORT = {CLUSTER: "cds", ENDPOINTS: "eds", LISTENER: "lds", ROUTES: "rds", SECRET: "sds"}
Key = tuple[ProxyView, bool]
"""A view, and whether its proxies have proven who they are: otherwise they get no secrets."""

log = structlog.get_logger(__name__)


class Source(Protocol):
    """What offers are made of: the mesh as it is now."""

    def view(self, claim: ProxyClaim) -> ProxyView:
        """What a proxy may see."""

    def offer(self, view: ProxyView) -> Offer:
        """What proxies with this view shall hold; the same object as long as nothing changed."""

    def pod(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The pod of this name."""


@dataclass(slots=True, eq=False)
class Seat:
    """A connected proxy, its claim, and the line that it follows."""

    connection: Connection
    claim: ProxyClaim
    key: Key
    changed_at: float | None = None
    """Loop time of the oldest change that it was told of and has not acknowledged."""
    told: bool = False


@dataclass(slots=True)
class Proxies:
    """The host of the ADS server. One line per distinct view; streams of equal views share it."""

    source: Source
    identify: Callable[[Caller], Awaitable[Identity | None]]
    """Who a caller is; None where callers without identity are let in. Raises GRPCError."""
    metrics: Metrics
    ready: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    seats: dict[Connection, Seat] = field(default_factory=dict)
    lines: dict[Key, Line] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    _followers: Counter[Key] = field(default_factory=Counter)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # -- linnet.xds.ads.Host ------------------------------------------------

    async def authenticate(self, caller: Caller) -> Identity | None:
        """Who calls. Raises GRPCError."""
        if not self.ready():
            raise GRPCError(Status.UNAVAILABLE, "server is not ready to serve discovery information")
        return await self.identify(caller)

    def connect(self, node: Node, caller: Caller, identity: Identity | None, dialect: Dialect) -> Connection:
        """Admit a proxy under what it claims to be. Raises GRPCError."""
        try:
            claim = claim_of(node)
        except BadNode as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        if identity is not None:
            reason = refusal(claim, identity, self.source.pod(claim.namespace, claim.pod))
            if reason:
                self.metrics.internal_errors.add()
                log.warning("proxy-refused", node=node.id, peer=str(caller), reason=reason)
                raise GRPCError(Status.PERMISSION_DENIED, f"{node.id}: {reason}")
            claim = replace(claim, service_account=identity.service_account)
        key = (self.source.view(claim), identity is not None)
        connection = Connection(
            id=f"{claim.pod}.{claim.namespace}-{next(self._numbers)}",
            node=node,
            caller=caller,
            identity=identity.spiffe if identity else "",
            stream=Stream(dialect, self._line(key)),
            connected_at=self.now(),
        )
        self.seats[connection] = Seat(connection, claim, key)
        self._followers[key] += 1
        log.info("proxy-connected", proxy=connection.id, peer=str(caller), identity=connection.identity)
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Forget a proxy, and its line if nobody else follows it."""
        seat = self.seats.pop(connection)
        log.info("proxy-disconnected", proxy=connection.id)
        self._leave(seat.key)

    def sent(self, connection: Connection, response: Response, size: int) -> None:
        """Count a response."""
        kind = SHORT.get(response.type_url, response.type_url)
        self.metrics.pushes.add(kind)
        self.metrics.size.observe(size, kind)
        connection.stream.watches[response.type_url].sent_at = self.now()
        self.seats[connection].told = True

    def answered(self, connection: Connection, request: Request, outcome: Outcome) -> None:
        """Count an answer; a rejection is worth a line in the log."""
        kind = SHORT.get(request.type_url, request.type_url)
        if outcome is Outcome.REJECTED:
            self.metrics.rejects.add(kind)
            watch = connection.stream.watches[request.type_url]
            names = sorted(name for name in watch.rejected if name)
            log.warning(
                "response-rejected", proxy=connection.id, type=kind, resources=names, error=request.error
            )
        elif outcome is Outcome.EXPIRED:
            self.metrics.expired.add(kind)
        seat = self.seats[connection]
        if seat.told and seat.changed_at is not None and connection.stream.current:
            self.metrics.convergence.observe(self.clock() - seat.changed_at)
            seat.changed_at = None

    # -- a push -------------------------------------------------------------

    def push(self, changed_at: float) -> int:
        """Offer what the mesh is now; gives how many proxies there is something to be told.

        One translation per distinct view. Per proxy: a look at its view, and a wake-up if its line moved.
        """
        self._seat_again()
        offers = {view: self.source.offer(view) for view in {view for view, _ in self.lines}}
        for (view, proven), line in self.lines.items():
            line.publish(offers[view] if proven else without_secrets(offers[view]))
        told = 0
        for seat in self.seats.values():
            if seat.connection.stream.behind:
                if not seat.told or seat.changed_at is None:
                    seat.changed_at, seat.told = changed_at, False
                seat.connection.wake.set()
                told += 1
        return told

    def _seat_again(self) -> None:
        """Let each proxy follow the line of the view that it has now."""
        for seat in self.seats.values():
            key = (self.source.view(seat.claim), seat.key[1])
            if key != seat.key:
                left, seat.key = seat.key, key
                seat.connection.stream.follow(self._line(key))
                self._followers[key] += 1
                self._leave(left)

    def _line(self, key: Key) -> Line:
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line(work=self.work)
            offer = self.source.offer(key[0])
            line.publish(offer if key[1] else without_secrets(offer))
        return line

    def _leave(self, key: Key) -> None:
        self._followers[key] -= 1
        if not self._followers[key]:
            del self._followers[key], self.lines[key]


def without_secrets(offer: Offer) -> Offer:
    """What a proxy may have that has not proven who it is."""
    return Offer(MappingProxyType({t: of for t, of in offer.resources.items() if t != SECRET}))
