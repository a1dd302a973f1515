"""A raw SPDY connection in place of an HTTP request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from linnet.local.api import spdy
from linnet.local.api.refusals import Refused

_LAST_WORDS = 5.0  # seconds that the client gets to read what was written


@dataclass(slots=True)
class _Wire(asyncio.Protocol):
    """Hands what arrives to a connection."""

    transport: asyncio.WriteTransport
    connection: spdy.Connection | None = None
    early: list[bytes] = field(default_factory=list)
    lost: bool = False

    def data_received(self, data: bytes) -> None:
        if self.connection is None:
            self.early.append(data)
            return
        try:
            self.connection.feed(data)
        except spdy.ProtocolError:
            self.connection.end()

    def write(self, data: bytes) -> None:
        """Send, unless the client has gone."""
        if not self.lost:
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lost = True
        if self.connection is not None:
            self.connection.end()


@asynccontextmanager
async def upgraded(
    request: web.BaseRequest, opened: Callable[[spdy.Stream], None], protocol: str
) -> AsyncIterator[spdy.Connection]:
    """Take the request's connection over; it is closed at the end of the block.

    Raises: Refused if the connection is gone already.
    """
    transport = request.transport
    if transport is None:
        raise Refused(400, "BadRequest", "the connection is closed")
    wire = _Wire(transport)
    transport.set_protocol(wire)
    connection = spdy.Connection(wire.write, opened)
    wire.connection = connection
    wire.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        b"X-Stream-Protocol-Version: " + protocol.encode() + b"\r\n\r\n"
    )
    for data in wire.early:
        wire.data_received(data)
    try:
        yield connection
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await connection.ended.wait()
        except TimeoutError:
            pass  # it has read enough
    finally:
        wire.lost = True
        transport.close()
