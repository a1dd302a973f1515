"""Laws of the ADS state machine: what is true of every history."""

from types import MappingProxyType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Offer, Resource
from linnet.xds.messages import Request
from linnet.xds.offers import Line
from linnet.xds.stream import WILDCARD, Dialect, Response, Stream

pytestmark = pytest.mark.laws

TYPES = (CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET)
NAMES = ("a", "b", "c", "d")
BAD = "bad"  # resources of this version are rejected

types = st.sampled_from(TYPES)
names = st.sampled_from(NAMES)
versions = st.sampled_from(("1", "2", "3", BAD))
Mesh = dict[str, dict[str, str]]


def offer(mesh: Mesh) -> Offer:
    """An offer with this content."""
    return Offer(
        MappingProxyType(
            {
                t: MappingProxyType({n: Resource(n, v, v.encode()) for n, v in of.items()})
                for t, of in mesh.items()
            }
        )
    )


class Proxy:
    """Applies responses as Envoy does: the good resources of a rejected response as well."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.wanted: dict[str, set[str]] = {}
        self.held: dict[str, dict[str, str]] = {t: {} for t in TYPES}
        self.claims: dict[str, dict[str, str]] = {t: {} for t in TYPES}
        self.unanswered: list[Response] = []
        self.nonces: dict[str, str] = {}

    def wants(self, type_url: str, name: str) -> bool:
        return type_url in self.wanted and (type_url in WILDCARD or name in self.wanted[type_url])

    def apply(self, response: Response) -> Request:
        """Take a response in and answer it."""
        self.nonces[response.type_url] = response.nonce
        type_url, held, claims = (
            response.type_url,
            self.held[response.type_url],
            self.claims[response.type_url],
        )
        good = {n: r.version for n, r in response.step.changed.items() if r.version != BAD}
        rejected = [n for n, r in response.step.changed.items() if r.version == BAD]
        if self.dialect is Dialect.SOTW and type_url in WILDCARD:
            for name in set(held) - set(response.step.changed):
                del held[name]
        if self.dialect is Dialect.DELTA:
            for name in response.removed:
                held.pop(name, None)
        held.update({n: v for n, v in good.items() if self.wants(type_url, n)})
        if rejected:
            error: str | None = f"cannot use {rejected}"
        else:
            error = None
            claims.update({n: v for n, v in good.items() if self.wants(type_url, n)})
            for name in response.removed:
                claims.pop(name, None)
        subscribe = tuple(self.wanted[type_url]) if self.dialect is Dialect.SOTW else ()
        if type_url in WILDCARD:
            subscribe = ()
        return Request(type_url, nonce=response.nonce, error=error, subscribe=subscribe)


class Conversation(RuleBasedStateMachine):
    """Whatever happens, a proxy that applies our responses ends up with exactly what it wants."""

    dialect = Dialect.DELTA

    def __init__(self) -> None:
        super().__init__()
        self.mesh: Mesh = {t: {} for t in TYPES}
        self.line = Line()
        self.line.publish(offer(self.mesh))
        self.proxy = Proxy(self.dialect)
        self.stream = Stream(self.dialect, self.line)

    def publish(self) -> None:
        self.line.publish(offer(self.mesh))

    def poll(self) -> None:
        while (response := self.stream.respond()) is not None:
            flying = [r.type_url for r in self.proxy.unanswered]
            assert response.type_url not in flying, "two responses of one type in flight"
            self.proxy.unanswered.append(response)

    @rule(type_url=types, name=names, version=versions)
    def change(self, type_url: str, name: str, version: str) -> None:
        self.mesh[type_url] = {**self.mesh[type_url], name: version}
        self.publish()

    @rule(type_url=types, name=names)
    def remove(self, type_url: str, name: str) -> None:
        self.mesh[type_url] = {n: v for n, v in self.mesh[type_url].items() if n != name}
        self.publish()

    @rule(mesh=st.fixed_dictionaries({t: st.dictionaries(names, versions) for t in TYPES}))
    def move_to_another_view(self, mesh: Mesh) -> None:
        self.mesh, self.line = mesh, Line()
        self.publish()
        self.stream.follow(self.line)

    @rule(type_url=types, wanted=st.frozensets(names, min_size=1))
    def ask(self, type_url: str, wanted: frozenset[str]) -> None:
        """Subscribe to more, or for the first time."""
        known = self.proxy.wanted.get(type_url)
        if type_url in WILDCARD:
            if known is not None:
                return
            wanted = frozenset()
        new = set(wanted) | (known or set())
        self.proxy.wanted[type_url] = new
        if self.dialect is Dialect.DELTA:
            held = self.proxy.claims[type_url] if known is None else {}
            self.stream.receive(Request(type_url, subscribe=tuple(sorted(wanted)), held=dict(held)))
        else:
            nonce = self.proxy.nonces.get(type_url, "") if known is not None else ""
            if known is None or nonce:  # else it says so when it answers the response on its way
                self.stream.receive(Request(type_url, nonce=nonce, subscribe=tuple(sorted(new))))

    @rule(type_url=st.sampled_from([t for t in TYPES if t not in WILDCARD]), name=names)
    def unsubscribe(self, type_url: str, name: str) -> None:
        if self.dialect is Dialect.SOTW or name not in self.proxy.wanted.get(type_url, ()):
            return
        self.proxy.wanted[type_url].discard(name)
        self.proxy.held[type_url].pop(name, None)
        self.proxy.claims[type_url].pop(name, None)
        self.stream.receive(Request(type_url, unsubscribe=(name,)))

    @rule()
    def send(self) -> None:
        self.poll()

    @precondition(lambda self: self.proxy.unanswered)
    @rule(which=st.integers(0, 4))
    def answer(self, which: int) -> None:
        response = self.proxy.unanswered.pop(which % len(self.proxy.unanswered))
        self.stream.receive(self.proxy.apply(response))

    @rule()
    def reconnect(self) -> None:
        """The stream breaks when all is answered; the proxy comes back with what it claims to hold."""
        self.settle()
        self.proxy.unanswered.clear()
        self.proxy.nonces.clear()
        self.stream = Stream(self.dialect, self.line)
        for type_url in TYPES:
            if type_url in self.proxy.wanted:
                names = () if type_url in WILDCARD else tuple(self.proxy.wanted[type_url])
                held = dict(self.proxy.claims[type_url]) if self.dialect is Dialect.DELTA else {}
                self.stream.receive(Request(type_url, subscribe=names, held=held))

    def settle(self) -> None:
        for _ in range(200):
            self.poll()
            if not self.proxy.unanswered:
                return
            self.stream.receive(self.proxy.apply(self.proxy.unanswered.pop(0)))
        raise AssertionError("the conversation does not come to rest")

    def teardown(self) -> None:
        self.settle()
        refusing = any(
            self.stream.watches[t].rejected for t in (LISTENER, ROUTES) if t in self.stream.watches
        )
        for type_url in self.proxy.wanted:
            held = self.proxy.held[type_url]
            wanted = {n: v for n, v in self.mesh[type_url].items() if self.proxy.wants(type_url, n)}
            good = {n: v for n, v in wanted.items() if v != BAD}
            assert good.items() <= held.items(), f"{type_url}: {good} is wanted, {held} is held"
            if self.dialect is Dialect.SOTW and type_url not in WILDCARD:
                continue
            extra = held.keys() - wanted.keys()
            late = refusing and type_url in (CLUSTER, ENDPOINTS)
            assert not extra or late, f"{type_url}: {extra} stayed"
            if self.dialect is Dialect.DELTA:
                rejected = self.stream.watches[type_url].rejected
                assert rejected.keys() == {n for n, v in wanted.items() if v == BAD}, (
                    "a rejection is not narrowed down"
                )
                claims = {n: v for n, v in self.proxy.claims[type_url].items() if n in good}
                assert claims == good, f"{type_url}: the proxy claims {claims} and holds {good}"


class StateOfTheWorld(Conversation):
    """The same law for the other variant."""

    dialect = Dialect.SOTW


TestDelta = Conversation.TestCase
TestDelta.settings = settings(max_examples=200, stateful_step_count=30, report_multiple_bugs=False)
TestStateOfTheWorld = StateOfTheWorld.TestCase
TestStateOfTheWorld.settings = settings(max_examples=200, stateful_step_count=30, report_multiple_bugs=False)
