"""How the protocol converses: requests in, responses out."""

from types import MappingProxyType

import pytest

from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Offer, Resource
from linnet.xds.messages import Request
from linnet.xds.offers import Line
from linnet.xds.stream import Dialect, Outcome, Response, Stream

pytestmark = pytest.mark.unit

Mesh = dict[str, dict[str, str]]


def offer(mesh: Mesh) -> Offer:
    """An offer with these versions."""
    held = {
        t: MappingProxyType({n: Resource(n, v, v.encode()) for n, v in of.items()}) for t, of in mesh.items()
    }
    return Offer(MappingProxyType(held))


def line(mesh: Mesh) -> Line:
    """A line with one offer."""
    made = Line()
    made.publish(offer(mesh))
    return made


def sent(stream: Stream) -> list[Response]:
    """Everything that may be sent now."""
    found = []
    while (response := stream.respond()) is not None:
        found.append(response)
    return found


def told(responses: list[Response]) -> list[tuple[str, list[str], list[str]]]:
    """Type, changed and removed names of each."""
    return [(r.type_url, list(r.step.changed), list(r.removed)) for r in responses]


def ack(stream: Stream, *responses: Response) -> None:
    """The proxy accepts."""
    for response in responses:
        assert stream.receive(Request(response.type_url, response.nonce)) is Outcome.ACKNOWLEDGED


def nack(stream: Stream, response: Response, error: str = "no") -> None:
    """The proxy rejects."""
    assert stream.receive(Request(response.type_url, response.nonce, error)) is Outcome.REJECTED


MESH: Mesh = {
    CLUSTER: {"a": "1", "b": "1"},
    ENDPOINTS: {"a": "1", "b": "1"},
    LISTENER: {"l": "1"},
    ROUTES: {"r": "1"},
}


def connected(held: Line) -> Stream:
    """A proxy that has everything."""
    stream = Stream(Dialect.DELTA, held)
    for type_url, names in ((CLUSTER, ()), (ENDPOINTS, ("a", "b")), (LISTENER, ()), (ROUTES, ("r",))):
        stream.receive(Request(type_url, subscribe=names))
    while responses := sent(stream):
        ack(stream, *responses)
    assert stream.current
    return stream


def test_listeners_wait_until_clusters_are_acknowledged() -> None:
    """All requests at once: clusters and endpoints go first."""
    stream = Stream(Dialect.DELTA, line(MESH))
    for type_url, names in ((LISTENER, ()), (ROUTES, ("r",)), (ENDPOINTS, ("a", "b")), (CLUSTER, ())):
        stream.receive(Request(type_url, subscribe=names))
    first = sent(stream)
    assert told(first) == [(CLUSTER, ["a", "b"], []), (ENDPOINTS, ["a", "b"], [])]
    ack(stream, first[1])
    assert sent(stream) == []
    ack(stream, first[0])
    assert told(sent(stream)) == [(LISTENER, ["l"], []), (ROUTES, ["r"], [])]


def test_a_renamed_cluster_goes_last() -> None:
    """New cluster, its acknowledgement, the route to it, its acknowledgement, then the old cluster goes."""
    held = line(MESH)
    stream = connected(held)
    held.publish(
        offer(MESH | {CLUSTER: {"a": "1", "c": "1"}, ENDPOINTS: {"a": "1", "c": "1"}, ROUTES: {"r": "2"}})
    )
    (new,) = sent(stream)
    assert told([new]) == [(CLUSTER, ["c"], [])]
    ack(stream, new)
    (route,) = sent(stream)
    assert told([route]) == [(ROUTES, ["r"], [])]
    ack(stream, route)
    (gone,) = sent(stream)
    assert told([gone]) == [(CLUSTER, [], ["b"])]


def test_a_cluster_that_is_sent_is_followed_by_its_endpoints() -> None:
    """Though they did not change: Envoy waits for them."""
    held = line(MESH)
    stream = connected(held)
    held.publish(offer(MESH | {CLUSTER: {"a": "2", "b": "1"}}))
    assert told(sent(stream)) == [(CLUSTER, ["a"], []), (ENDPOINTS, ["a"], [])]


def test_a_returning_proxy_gets_endpoints_whatever_it_holds() -> None:
    """Of other types what differs, or an empty answer; what it must lose goes last."""
    stream = Stream(Dialect.DELTA, line(MESH))
    stream.receive(Request(CLUSTER, held={"a": "1", "b": "1", "old": "7"}))
    stream.receive(Request(ENDPOINTS, subscribe=("a", "b"), held={"a": "1", "b": "1"}))
    stream.receive(Request(LISTENER, held={"l": "0"}))
    first = sent(stream)
    assert told(first) == [(CLUSTER, [], []), (ENDPOINTS, ["a", "b"], [])]
    ack(stream, *first)
    second = sent(stream)
    assert told(second) == [(LISTENER, ["l"], [])]
    ack(stream, *second)
    assert told(sent(stream)) == [(CLUSTER, [], ["old"])]


def test_names_that_do_not_exist_are_answered() -> None:
    """They are reported as removed, so that the proxy need not wait for them."""
    stream = Stream(Dialect.DELTA, line(MESH))
    stream.receive(Request(ENDPOINTS, subscribe=("a", "nowhere")))
    (first,) = sent(stream)
    assert told([first]) == [(ENDPOINTS, ["a"], ["nowhere"])]
    ack(stream, first)
    stream.receive(Request(ENDPOINTS, subscribe=("nothing",)))
    assert told(sent(stream)) == [(ENDPOINTS, [], ["nothing"])]


def test_one_response_in_flight_and_then_the_newest() -> None:
    """What was published meanwhile is not sent one after another."""
    held = line(MESH)
    stream = connected(held)
    for version in ("2", "3", "4"):
        held.publish(offer(MESH | {ENDPOINTS: {"a": version, "b": "1"}}))
        responses = sent(stream)
        if version == "2":
            (flying,) = responses
        else:
            assert responses == []
    ack(stream, flying)
    (newest,) = sent(stream)
    assert newest.step.changed["a"].version == "4"


def test_a_rejected_response_is_sent_again_in_pieces() -> None:
    """Each resource by itself; what is rejected alone is kept by name, and sent again when it changes."""
    held = line({CLUSTER: {"a": "1", "b": "1", "c": "1"}})
    stream = Stream(Dialect.DELTA, held)
    stream.receive(Request(CLUSTER))
    (whole,) = sent(stream)
    nack(stream, whole)
    for name in ("a", "b", "c"):
        (piece,) = sent(stream)
        assert list(piece.step.changed) == [name]
        if name == "b":
            nack(stream, piece, "bad b")
        else:
            ack(stream, piece)
    assert sent(stream) == []
    watch = stream.watches[CLUSTER]
    assert (watch.rejected, watch.error) == ({"b": "bad b"}, "bad b")
    held.publish(offer({CLUSTER: {"a": "1", "b": "2", "c": "1"}}))
    (mended,) = sent(stream)
    assert list(mended.step.changed) == ["b"]
    ack(stream, mended)
    assert stream.watches[CLUSTER].rejected == {}


def test_a_large_rejected_response_is_narrowed_down() -> None:
    """Of 1,000 resources one is bad: it is found with few responses."""
    held = line({CLUSTER: {f"c{i:03}": "1" for i in range(1000)}})
    stream = Stream(Dialect.DELTA, held)
    stream.receive(Request(CLUSTER))
    count = 0
    while responses := sent(stream):
        (response,) = responses
        count += 1
        if "c500" in response.step.changed:
            nack(stream, response)
        else:
            ack(stream, response)
    assert list(stream.watches[CLUSTER].rejected) == ["c500"]
    assert count <= 1 + 32 + 32


def test_answers_to_old_responses_count_as_expired() -> None:
    """Their subscriptions are taken in all the same (delta)."""
    stream = connected(line(MESH))
    assert stream.receive(Request(ENDPOINTS, "no such nonce", subscribe=("a",))) is Outcome.EXPIRED
    assert told(sent(stream)) == [(ENDPOINTS, ["a"], [])]


def test_rejected_routes_keep_the_clusters_that_they_may_use() -> None:
    """A removal waits until routes are accepted."""
    held = line(MESH)
    stream = connected(held)
    held.publish(offer(MESH | {CLUSTER: {"a": "1"}, ROUTES: {"r": "2"}}))
    (route,) = sent(stream)
    nack(stream, route)
    assert sent(stream) == []
    held.publish(offer(MESH | {CLUSTER: {"a": "1"}, ROUTES: {"r": "3"}}))
    (route,) = sent(stream)
    ack(stream, route)
    assert told(sent(stream)) == [(CLUSTER, [], ["b"])]


def test_equal_steps_are_the_same_object() -> None:
    """Two proxies of a view share the bytes of each response, first and later ones."""
    held = line(MESH)
    one, other = Stream(Dialect.DELTA, held), Stream(Dialect.DELTA, held)
    for stream in (one, other):
        stream.receive(Request(CLUSTER))
    (first,), (second,) = sent(one), sent(other)
    assert first.step is second.step
    assert first.step.delta_body() is second.step.delta_body()
    ack(one, first)
    ack(other, second)
    held.publish(offer(MESH | {CLUSTER: {"a": "2", "b": "1"}}))
    (first,), (second,) = sent(one), sent(other)
    assert first.step is second.step


def test_work_grows_with_the_change() -> None:
    """One change among 1,000 resources: one resource is compared, whatever the number of streams."""
    resources = {f"c{i}": Resource(f"c{i}", "1", b"") for i in range(1000)}
    held = Line()
    held.publish(Offer({ENDPOINTS: resources}))
    streams = []
    for _ in range(50):
        stream = Stream(Dialect.DELTA, held)
        stream.receive(Request(ENDPOINTS, subscribe=tuple(resources)))
        ack(stream, *sent(stream))
        streams.append(stream)
    before = held.work.compared
    held.publish(Offer({ENDPOINTS: resources | {"c7": Resource("c7", "2", b"")}}))
    for stream in streams:
        assert told(sent(stream)) == [(ENDPOINTS, ["c7"], [])]
    assert held.work.compared - before == 2  # once for the line, once for the step


def test_an_equal_offer_is_no_news() -> None:
    """The same content in other objects is not sent."""
    held = line(MESH)
    stream = connected(held)
    assert not held.publish(offer(MESH))
    assert sent(stream) == []
    assert not stream.behind


def test_a_proxy_moves_to_another_view() -> None:
    """Only what differs is sent."""
    stream = connected(line(MESH))
    stream.follow(line(MESH | {CLUSTER: {"a": "1", "b": "2"}}))
    assert told(sent(stream)) == [(CLUSTER, ["b"], []), (ENDPOINTS, ["b"], [])]


def test_state_of_the_world_sends_whole_types() -> None:
    """Clusters as a whole, with those that must not go yet; endpoints only what changed."""
    held = line(MESH)
    stream = Stream(Dialect.SOTW, held)
    for type_url, names in ((CLUSTER, ()), (ENDPOINTS, ("a", "b")), (LISTENER, ()), (ROUTES, ("r",))):
        stream.receive(Request(type_url, subscribe=names))
    subscribed = {CLUSTER: (), ENDPOINTS: ("a", "b"), LISTENER: (), ROUTES: ("r",)}

    def accept(responses: list[Response]) -> None:
        for response in responses:
            names = subscribed[response.type_url]
            stream.receive(Request(response.type_url, response.nonce, subscribe=names))

    while responses := sent(stream):
        accept(responses)
    held.publish(offer(MESH | {CLUSTER: {"a": "2"}, ENDPOINTS: {"a": "1"}, ROUTES: {"r": "2"}}))
    first = sent(stream)
    assert told(first)[0][:2] == (CLUSTER, ["a", "b"])
    assert told(first)[1][:2] == (ENDPOINTS, ["a"])
    accept(first)
    accept(sent(stream))
    assert told(sent(stream))[0][:2] == (CLUSTER, ["a"])
