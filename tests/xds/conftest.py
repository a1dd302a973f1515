"""An ADS server on a loopback port with a host that lets everybody in."""

import socket
import time
from collections.abc import AsyncIterator
from types import MappingProxyType

import pytest
from grpclib.server import Server

from linnet.model.resource import Offer, Resource
from linnet.xds.ads import Ads, Connection
from linnet.xds.messages import Node, Request
from linnet.xds.offers import Line
from linnet.xds.stream import Dialect, Outcome, Response, Stream
from linnet.xds.transport import Caller, Codec


class OpenHost:
    """Admits every proxy to one line, and remembers what was said."""

    def __init__(self) -> None:
        self.line = Line()
        self.connections: list[Connection] = []
        self.responses: list[Response] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        self.port = 0

    def publish(self, resources: dict[str, dict[str, Resource]]) -> None:
        """Offer this to all proxies."""
        held = {t: MappingProxyType(dict(of)) for t, of in resources.items()}
        self.line.publish(Offer(MappingProxyType(held)))
        for connection in self.connections:
            connection.wake.set()

    async def authenticate(self, caller: Caller) -> None:
        return None

    def connect(self, node: Node, caller: Caller, identity: None, dialect: Dialect) -> Connection:
        stream = Stream(dialect, self.line)
        connection = Connection(node.id, node, caller, "", stream, connected_at=time.time())
        self.connections.append(connection)
        return connection

    def disconnect(self, connection: Connection) -> None:
        self.connections.remove(connection)

    def sent(self, connection: Connection, response: Response, size: int) -> None:
        self.responses.append(response)

    def answered(self, connection: Connection, request: Request, outcome: Outcome) -> None:
        self.outcomes.append((request.type_url, outcome))


@pytest.fixture
async def host() -> AsyncIterator[OpenHost]:
    """A served host; its `port` is on 127.0.0.1."""
    host = OpenHost()
    server = Server([Ads(host, "linnet-test")], codec=Codec())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        host.port = listening.getsockname()[1]
        await server.start(sock=listening)
        yield host
        for connection in tuple(host.connections):
            connection.end()
        server.close()
        await server.wait_closed()
