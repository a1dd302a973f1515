"""What an application behind Envoy sees of it, and who may call: what translation gives, in a real Envoy."""

import asyncio

import pytest

from linnet.envoy.messages import Any as Packed
from linnet.envoy.messages import Cluster, FilterChain, Listener, TrafficDirection
from linnet.model.policy import PeerMode
from linnet.model.proxy import InboundPort
from linnet.model.resource import CLUSTER, LISTENER
from linnet.model.service import Protocol
from linnet.model.snapshot import MeshConfig
from linnet.translate import clusters, filters, inbound
from linnet.translate.tokens import Checks
from linnet.translate.wire import socket_address

pytestmark = pytest.mark.envoy

PATIENCE = 60  # seconds


class Application:
    """An HTTP/1.1 server that never closes a connection by itself."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()  # a connection, by its client

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")
        except asyncio.IncompleteReadError:
            self.closed.set()
        finally:
            writer.close()


def pod(listening: int, application: int) -> dict:
    """What the Envoy of a pod gets, but for the redirect and mTLS, which are not here."""
    config = MeshConfig()
    port = InboundPort(application, Protocol.HTTP, 80, "web.shop", "web", "shop", PeerMode.DISABLE)
    cluster = Cluster()
    packed = Packed()
    packed.ParseFromString(clusters.inbound(port, config).body)
    cluster.ParseFromString(packed.value)
    cluster.type, cluster.lb_policy = Cluster.STATIC, Cluster.ROUND_ROBIN
    cluster.ClearField("upstream_bind_config")
    host = cluster.load_assignment.endpoints.add().lb_endpoints.add()
    host.endpoint.address.CopyFrom(socket_address("127.0.0.1", application))
    cluster.load_assignment.cluster_name = cluster.name
    table = inbound.routes(cluster.name, "web", cluster.name, "web", retry=True)
    manager = filters.inbound_http("web", table, Checks(), config)
    listener = Listener(
        name="virtualInbound",
        address=socket_address("127.0.0.1", listening),
        traffic_direction=TrafficDirection.INBOUND,
        filter_chains=[FilterChain(filters=[manager])],
    )
    return {CLUSTER: {cluster.name: cluster}, LISTENER: {listener.name: listener}}


@pytest.fixture
async def application(start, control_plane, ports):
    """An application behind an Envoy that is ready, and the port on which it is called."""
    listening, port = ports(2)
    served = Application()
    server = await asyncio.start_server(served.serve, "127.0.0.1", port)
    control_plane.publish(pod(listening, port))
    await (await start()).until_ready()
    yield served, listening
    server.close()


async def ask(port: int, request: bytes) -> bytes:
    """The first line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.readline(), PATIENCE)
    finally:
        writer.close()


async def test_an_unused_connection_is_closed_before_the_application_does_it(application):
    """Else a request may meet the application's FIN on its way, and is lost."""
    served, port = application
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    await asyncio.wait_for(served.closed.wait(), PATIENCE)  # while the client's own connection stays
    writer.close()


async def test_clients_may_speak_http_1_0(application):
    """ApacheBench and nginx do."""
    _, port = application
    answer = await ask(port, b"GET / HTTP/1.0\r\nhost: web\r\n\r\n")
    assert b" 200 " in answer
