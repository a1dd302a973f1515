"""The ADS server and another implementation of gRPC converse."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from linnet.envoy.messages import Any as AnyMessage
from linnet.envoy.messages import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, Resource
from linnet.xds.ads import SERVICE

pytestmark = pytest.mark.wired


def resource(type_url: str, name: str, version: str, size: int = 10) -> Resource:
    """A resource whose body is a serialised Any with `size` bytes of content."""
    content = AnyMessage(type_url=type_url, value=b"x" * size)
    return Resource(name, version, content.SerializeToString())


@pytest.fixture
async def channel(host) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of grpc.aio to the host."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{host.port}") as channel:
        yield channel


def delta(channel: grpc.aio.Channel):
    """A delta call that speaks protobuf messages."""
    return channel.stream_stream(
        SERVICE + "DeltaAggregatedResources",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=DeltaDiscoveryResponse.FromString,
    )()


def state_of_the_world(channel: grpc.aio.Channel):
    """A state-of-the-world call that speaks protobuf messages."""
    return channel.stream_stream(
        SERVICE + "StreamAggregatedResources",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=DiscoveryResponse.FromString,
    )()


async def test_delta_client_receives_what_it_subscribes_to_and_changes_only(host, channel) -> None:
    """The bytes that we splice are the messages that protobuf reads; later responses carry the difference."""
    host.publish({CLUSTER: {n: resource(CLUSTER, n, "1") for n in ("a", "b")}})
    call = delta(channel)
    await call.write(DeltaDiscoveryRequest(node={"id": "sidecar~10.0.0.1~a.b~b.svc"}, type_url=CLUSTER))
    first = await call.read()
    assert [(r.name, r.version, r.resource.type_url) for r in first.resources] == [
        ("a", "1", CLUSTER),
        ("b", "1", CLUSTER),
    ]
    assert (first.type_url, first.control_plane.identifier) == (CLUSTER, "linnet-test")
    await call.write(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))

    host.publish({CLUSTER: {"b": resource(CLUSTER, "b", "2")}})
    second = await call.read()
    assert [(r.name, r.version) for r in second.resources] == [("b", "2")]
    assert not second.removed_resources  # what is gone goes last
    await call.write(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=second.nonce))
    third = await call.read()
    assert (list(third.resources), list(third.removed_resources)) == ([], ["a"])
    call.cancel()


async def test_every_first_request_is_answered(host, channel) -> None:
    """A type of which there is nothing is answered with an empty response."""
    call = delta(channel)
    await call.write(DeltaDiscoveryRequest(node={"id": "p"}, type_url=LISTENER))
    answer = await call.read()
    assert (answer.type_url, list(answer.resources), bool(answer.nonce)) == (LISTENER, [], True)
    call.cancel()


async def test_state_of_the_world_client_receives_whole_types(host, channel) -> None:
    """Clusters come as a whole; of endpoints only what changed."""
    host.publish(
        {
            CLUSTER: {n: resource(CLUSTER, n, "1") for n in ("a", "b")},
            ENDPOINTS: {n: resource(ENDPOINTS, n, "1") for n in ("a", "b")},
        }
    )
    call = state_of_the_world(channel)
    await call.write(DiscoveryRequest(node={"id": "p"}, type_url=CLUSTER))
    clusters = await call.read()
    assert len(clusters.resources) == 2
    await call.write(
        DiscoveryRequest(type_url=CLUSTER, response_nonce=clusters.nonce, version_info=clusters.version_info)
    )
    await call.write(DiscoveryRequest(type_url=ENDPOINTS, resource_names=["a", "b"]))
    endpoints = await call.read()
    assert len(endpoints.resources) == 2
    await call.write(
        DiscoveryRequest(type_url=ENDPOINTS, response_nonce=endpoints.nonce, resource_names=["a", "b"])
    )
    host.publish(
        {
            CLUSTER: {n: resource(CLUSTER, n, "1") for n in ("a", "b")},
            ENDPOINTS: {"a": resource(ENDPOINTS, "a", "2"), "b": resource(ENDPOINTS, "b", "1")},
        }
    )
    changed = await call.read()
    assert (changed.type_url, len(changed.resources)) == (ENDPOINTS, 1)
    call.cancel()


async def test_a_proxy_that_does_not_read_delays_no_other(host, channel) -> None:
    """One client stops reading in the middle of a large response; another gets every change at once."""
    big = {f"c{i}": resource(CLUSTER, f"c{i}", "1", size=100_000) for i in range(200)}
    host.publish({CLUSTER: big})
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{host.port}",
        options=[("grpc.http2.bdp_probe", 0), ("grpc.max_receive_message_length", -1)],
    ) as other:
        stalled = delta(other)
        await stalled.write(DeltaDiscoveryRequest(node={"id": "stalled"}, type_url=CLUSTER))
        call = delta(channel)
        await call.write(
            DeltaDiscoveryRequest(node={"id": "quick"}, type_url=ENDPOINTS, resource_names_subscribe=["a"])
        )
        answer = await call.read()
        for number in range(20):
            await call.write(DeltaDiscoveryRequest(type_url=ENDPOINTS, response_nonce=answer.nonce))
            host.publish({CLUSTER: big, ENDPOINTS: {"a": resource(ENDPOINTS, "a", str(number))}})
            answer = await asyncio.wait_for(call.read(), 5)
            assert answer.resources[0].version == str(number)
        stalled.cancel()
        call.cancel()


async def test_a_message_that_is_none_ends_the_stream(host, channel) -> None:
    """Bytes that are no discovery request: INVALID_ARGUMENT, and the reason."""
    call = channel.stream_stream(SERVICE + "DeltaAggregatedResources")()
    await call.write(b"\x0a\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "malformed discovery request" in await call.details()


async def test_a_proxy_without_a_name_is_refused(host, channel) -> None:
    """The first message must carry a node with an id."""
    call = delta(channel)
    await call.write(DeltaDiscoveryRequest(type_url=CLUSTER))
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_ended_stream_ends_with_ok(host, channel) -> None:
    """A control plane that lets a proxy go says so properly: the proxy comes back at once."""
    call = delta(channel)
    await call.write(DeltaDiscoveryRequest(node={"id": "p"}, type_url=LISTENER))
    await call.read()
    host.connections[0].end()
    await call.read()
    assert await call.code() is grpc.StatusCode.OK
    assert host.connections == []
