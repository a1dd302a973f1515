"""One ADS stream as a state machine: requests in, responses out; no socket, no clock, no log.

```
receive(request)  what the proxy says: subscriptions, acknowledgements, rejections
follow(line)      which offers it shall have from now on
respond()         what may be sent now, in the order that keeps traffic whole; None: nothing
```

The order: clusters, endpoints, secrets; listeners and routes once the proxy has acknowledged the clusters
(it does so when they are warm); clusters and endpoints that are gone last, once listeners and routes have let
go of them. At most one response of a type is in flight; the next leads to the newest offer there is by then.

Rules from Envoys that were watched (1.38 and 1.40):
* the first request of a type is always answered: only an answer resets the proxy's reconnect back-off;
* the first endpoint request is answered in full, and a cluster that is sent is followed by its endpoints,
  whatever versions the proxy offers: otherwise the cluster warms for ever and takes the whole type with it;
* Envoy applies the good resources of a response that it rejects and reports the versions of before: what was
  in it is sent again in pieces, so that what the proxy says it holds becomes true.

Source: Envoy, "xDS REST and gRPC protocol"; Linnet, `docs/architecture.md`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET
from linnet.xds.messages import Request
from linnet.xds.offers import Line, Point, Step
from linnet.xds.watches import Doomed, Flight, Watch, split

WILDCARD = frozenset({CLUSTER, LISTENER})  # an empty first request means "all of them"
_ORDER = {CLUSTER: 0, ENDPOINTS: 1, SECRET: 2, LISTENER: 3, ROUTES: 4}
_AFTER_CLUSTERS = frozenset({LISTENER, ROUTES})
_REMOVED_LAST = (CLUSTER, ENDPOINTS)


class Dialect(StrEnum):
    """The two variants of the protocol."""

    DELTA = "delta"
    SOTW = "state of the world"


class Outcome(StrEnum):
    """What a request was."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    EXPIRED = "expired"  # it speaks of a response that is not the last one
    ASKED = "asked"


class Response(NamedTuple):
    """One message to the proxy; the bytes of `step` are shared with every stream that makes it."""

    type_url: str
    nonce: str
    version: str
    step: Step
    removed: tuple[str, ...]


class _Draft(NamedTuple):
    """Resources and removals of a response to be."""

    step: Step
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.step.changed or self.removed)


class _Goal(NamedTuple):
    """An offer, and when this stream first saw it."""

    turn: int
    point: Point


@dataclass(slots=True)
class Stream:
    """State machine of one stream; the caller owns the socket, the clock and the log."""

    dialect: Dialect
    line: Line
    watches: dict[str, Watch] = field(default_factory=dict)
    """By type URL, in the order of sending."""
    _nonce: int = 0
    _newest: _Goal | None = None
    _cleared: _Goal | None = None
    """The offer whose clusters the proxy has: listeners and routes may go that far."""

    def follow(self, line: Line) -> None:
        """From now on offer what is on `line`: the proxy's view has changed."""
        self.line = line

    def receive(self, request: Request) -> Outcome:
        """Take in what the proxy says."""
        watch = self.watches.get(request.type_url)
        if watch is None:
            self._open(request)
            return Outcome.ASKED
        delta = self.dialect is Dialect.DELTA
        if request.nonce and request.nonce != watch.sent:
            if delta:
                self._subscribe(watch, request)
            return Outcome.EXPIRED
        outcome = Outcome.ASKED
        if request.nonce and watch.flight is not None:
            outcome = self._answered(watch, watch.flight, request.error)
        if delta:
            self._subscribe(watch, request)
        elif not request.nonce:
            self._open(request)  # the proxy starts over on the same stream
        else:
            self._replace_names(watch, request.subscribe)
        return outcome

    def respond(self) -> Response | None:
        """The next message that may be sent now; call again until None."""
        newest = self._look()
        for watch in self.watches.values():
            if watch.flight is None:
                response = self._advance(watch, newest)
                if response is not None:
                    return response
            if watch.type_url == CLUSTER and watch.settled:
                assert watch.at is not None
                self._cleared = _Goal(watch.turn, watch.at)
        for type_url in _REMOVED_LAST:
            response = self._remove(type_url)
            if response is not None:
                return response
        return None

    @property
    def behind(self) -> bool:
        """There is an offer that was not looked at yet."""
        return self._newest is None or self._newest.point.offer is not self.line.newest

    @property
    def current(self) -> bool:
        """The proxy has answered everything there is to say."""
        newest = self.line.newest
        return all(
            watch.settled and watch.at is not None and watch.at.offer is newest and not watch.doomed
            for watch in self.watches.values()
        )

    # -- requests -----------------------------------------------------------

    def _open(self, request: Request) -> None:
        names = set(request.subscribe)
        watch = Watch(request.type_url, names=names - {"*"}, held=dict(request.held))
        watch.wildcard = "*" in names or (request.type_url in WILDCARD and not names)
        self.watches[request.type_url] = watch
        self.watches = dict(sorted(self.watches.items(), key=lambda item: _rank(item[0])))

    def _subscribe(self, watch: Watch, request: Request) -> None:
        # a request that acknowledges nothing and asks for nothing is answered all the same
        watch.owed = watch.owed or bool(request.subscribe) or not request.nonce
        if not request.subscribe and not request.unsubscribe:
            return
        for name in request.unsubscribe:
            if name == "*":
                watch.wildcard = False
                continue
            watch.names.discard(name)
            if watch.wildcard:
                watch.fresh.add(name)  # whether it still wants the name is for us to say
            else:
                watch.doomed.pop(name, None)
                watch.rejected.pop(name, None)
                watch.fresh.discard(name)
        if "*" in request.subscribe and not watch.wildcard:
            watch.wildcard = True
            watch.fresh.update(self.line.newest.of(watch.type_url))
        asked = [name for name in request.subscribe if name != "*"]
        watch.names.update(asked)
        watch.fresh.update(asked)
        for name in (*asked, *request.unsubscribe):
            watch.held.pop(name, None)  # what it brought along counts no more

    def _replace_names(self, watch: Watch, names: tuple[str, ...]) -> None:
        if watch.wildcard and not names:
            return
        wanted = set(names) - {"*"}
        added = wanted - watch.names
        watch.wildcard = "*" in names
        watch.names = wanted
        watch.fresh = (watch.fresh | added) & wanted
        watch.owed = watch.owed or bool(added)

    def _answered(self, watch: Watch, flight: Flight, error: str | None) -> Outcome:
        watch.flight = None
        if error is None:
            watch.acked = flight.nonce
            for name in (*flight.resources, *flight.removed):
                watch.rejected.pop(name, None)
            if not watch.pieces:
                watch.rejected.pop("", None)
            return Outcome.ACKNOWLEDGED
        watch.rejections += 1
        pieces = split(flight) if self.dialect is Dialect.DELTA else []
        if len(pieces) > 1:
            watch.rejected[""] = error
            watch.pieces.extendleft(reversed(pieces))
            return Outcome.REJECTED
        if not watch.pieces:
            watch.rejected.pop("", None)
        name = next(iter(flight.resources)) if len(flight.resources) == 1 else ""
        if not name or watch.wants(name):
            watch.rejected[name] = error
        return Outcome.REJECTED

    # -- responses ----------------------------------------------------------

    def _look(self) -> _Goal:
        goal = self._newest
        if goal is None or goal.point.offer is not self.line.newest or goal.point.line is not self.line:
            goal = self._newest = _Goal(goal.turn + 1 if goal else 1, self.line.point())
        return goal

    def _advance(self, watch: Watch, newest: _Goal) -> Response | None:
        while watch.pieces:
            piece = self._current(watch, watch.pieces.popleft())
            if piece:
                return self._send(watch, piece)
            if not watch.pieces:
                watch.rejected.pop("", None)  # none of the rest is wanted any more
        goal = newest
        if watch.type_url in _AFTER_CLUSTERS and CLUSTER in self.watches:
            if self._cleared is None:
                return None
            goal = self._cleared
        draft = self._first(watch, goal) if watch.at is None else self._next(watch, goal)
        watch.at, watch.turn = goal.point, goal.turn
        if self._by_name_only(watch):
            draft = draft._replace(removed=())
        return self._send(watch, draft) if draft or watch.owed else None

    def _by_name_only(self, watch: Watch) -> bool:
        """Whether this variant has no way to say that a resource of this type is gone."""
        return self.dialect is Dialect.SOTW and watch.type_url not in WILDCARD

    def _first(self, watch: Watch, goal: _Goal) -> _Draft:
        line, offer = goal.point.line, goal.point.offer
        offered = offer.of(watch.type_url)
        held, watch.held = watch.held, {}
        watch.fresh.clear()
        gone = [name for name in held if name not in offered and watch.wants(name)]
        unknown = [name for name in watch.names if name not in offered and name not in held]
        if watch.type_url in _REMOVED_LAST:
            watch.doomed.update((name, Doomed(goal.turn, None)) for name in gone)
            gone = []
        if watch.type_url == ENDPOINTS:
            held = {}
        if not held and (watch.wildcard or offered.keys() <= watch.names):
            return _Draft(line.whole(watch.type_url, offer), tuple(unknown))
        chosen = frozenset(n for n, r in offered.items() if watch.wants(n) and held.get(n) != r.version)
        return _Draft(line.some(watch.type_url, goal.point, chosen), tuple(gone + unknown))

    def _next(self, watch: Watch, goal: _Goal) -> _Draft:
        assert watch.at is not None
        line, offer = goal.point.line, goal.point.offer
        step = line.step(watch.type_url, watch.at, goal.point)
        if not step and not watch.fresh:
            return _Draft(step)
        offered = offer.of(watch.type_url)
        fresh, watch.fresh = watch.fresh, set()
        removed = [name for name in step.removed if watch.wants(name)]
        for name in removed:
            watch.rejected.pop(name, None)  # nobody asks it to accept that any more
        if watch.type_url in _REMOVED_LAST:
            before = watch.at.offer.of(watch.type_url)
            watch.doomed.update((name, Doomed(goal.turn, before[name])) for name in removed)
            removed = []
        spared = _spare(watch, step)
        unknown = [name for name in fresh if name not in offered]
        for name in unknown:
            watch.doomed.pop(name, None)
        removed += unknown
        if not fresh and not spared and (watch.wildcard or step.changed.keys() <= watch.names):
            return _Draft(step, tuple(removed))
        names = {name for name in step.changed if watch.wants(name)} - spared
        names.update(name for name in fresh if name in offered)
        return _Draft(line.some(watch.type_url, goal.point, frozenset(names)), tuple(removed))

    def _current(self, watch: Watch, piece: Flight) -> _Draft:
        """What of a piece the proxy still wants, as it was: newer versions follow in the next step.

        Envoy has applied it already if it is good, but claims it only when it is accepted by itself.
        """
        offered = self.line.newest.of(watch.type_url)
        wanted = {name: resource for name, resource in piece.resources.items() if watch.wants(name)}
        gone = (name for name in piece.removed if name not in offered and watch.wants(name))
        return _Draft(Step(wanted, ()), tuple(gone))

    def _remove(self, type_url: str) -> Response | None:
        """Remove what nothing refers to any more."""
        watch = self.watches.get(type_url)
        if watch is None or not watch.doomed or not watch.settled:
            return None
        clusters = self.watches.get(CLUSTER)
        if type_url == ENDPOINTS and clusters is not None and (clusters.doomed or not clusters.settled):
            return None
        ready = [name for name, doomed in watch.doomed.items() if self._released(doomed.turn)]
        for name in ready:
            del watch.doomed[name]
        removed = tuple(sorted(name for name in ready if watch.wants(name)))
        if not removed or self._by_name_only(watch):
            return None
        return self._send(watch, _Draft(Step({}, ()), removed))

    def _released(self, turn: int) -> bool:
        """Whether listeners and routes have left behind what vanished at `turn`."""
        users = (self.watches[t] for t in _AFTER_CLUSTERS if t in self.watches)
        return all(watch.settled and watch.turn >= turn and not watch.rejected for watch in users)

    def _send(self, watch: Watch, draft: _Draft) -> Response:
        assert watch.at is not None
        self._nonce += 1
        watch.sent, watch.owed = str(self._nonce), False
        watch.flight = Flight(watch.sent, draft.step.changed, draft.removed)
        if watch.type_url == CLUSTER:
            self._warm(draft.step.changed)
        step = draft.step
        if self.dialect is Dialect.SOTW and watch.type_url in WILDCARD:
            step = _whole_state(watch, watch.at)
        return Response(watch.type_url, watch.sent, str(watch.at.number), step, draft.removed)

    def _warm(self, clusters: Iterable[str]) -> None:
        """Have the endpoints of these clusters sent again: Envoy waits for them and does not ask."""
        endpoints = self.watches.get(ENDPOINTS)
        if endpoints is not None:
            offered = self.line.newest.of(ENDPOINTS)
            endpoints.fresh.update(name for name in clusters if name in endpoints.names and name in offered)


def _rank(type_url: str) -> int:
    return _ORDER.get(type_url, len(_ORDER))


def _spare(watch: Watch, step: Step) -> set[str]:
    """Forget removals of what is offered again; gives the names whose resource the proxy still holds."""
    same: set[str] = set()
    if watch.doomed:
        for name in watch.doomed.keys() & step.changed.keys():
            resource = watch.doomed.pop(name).resource
            if resource is not None and resource.version == step.changed[name].version:
                same.add(name)
    return same


def _whole_state(watch: Watch, at: Point) -> Step:
    """State of the world: everything that the proxy shall hold, and what it shall not lose yet."""
    offered = at.offer.of(watch.type_url)
    kept = {name: d.resource for name, d in watch.doomed.items() if d.resource is not None}
    if watch.wildcard and not kept:
        return at.line.whole(watch.type_url, at.offer)
    return Step({name: r for name, r in offered.items() if watch.wants(name)} | kept, ())
