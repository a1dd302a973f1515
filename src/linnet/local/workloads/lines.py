"""Long streams as a client sees them: open, send, listen until the end, and how that end was told.

Each kind is a `Line`; that over TCP is in `tcp`. `listen` returns how the stream ended in order: `bye` (TCP),
`close frame` (WebSocket), `goaway` or `status` (gRPC), `by us` after `leave`. Everything else raises Failed.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from linnet.local.workloads import channel as channels
from linnet.local.workloads import frames, websocket
from linnet.local.workloads.aims import Aim
from linnet.local.workloads.channel import Channel
from linnet.local.workloads.dial import connected
from linnet.local.workloads.frames import Messages
from linnet.local.workloads.http1 import POD_HEADER, VERSION_HEADER, Failed, read_head
from linnet.local.workloads.record import BY_US
from linnet.local.workloads.websocket import Closed, WebSocket

Heard = Callable[[str], None]


class Line(Protocol):
    """A long stream. `asks` tells whether messages are sent; if not they come by themselves."""

    pod: str
    version: str
    asks: bool

    async def open(self) -> None:
        """Open it. Raises Failed."""

    async def send(self, text: str) -> bool:
        """Send a message, which will come back; False if the stream is ending. Raises Failed."""

    async def listen(self, heard: Heard) -> str:
        """Receive until the end; how it ended. Raises Failed."""

    async def leave(self) -> None:
        """Begin to end it; `listen` returns soon. Raises Failed."""

    def drop(self) -> None:
        """Give it up at once."""


class WebSocketLine:
    """Text messages over a WebSocket."""

    asks = True

    def __init__(self, aim: Aim) -> None:
        self.pod = self.version = ""
        self._aim = aim
        self._socket: WebSocket
        self._writer: asyncio.StreamWriter | None = None
        self._left = False

    async def open(self) -> None:
        """Connect and shake hands."""
        reader, self._writer = await connected(self._aim.host, self._aim.port)
        key = websocket.new_key()
        lines = [
            f"GET {self._aim.path} HTTP/1.1",
            f"host: {self._aim.authority}",
            "user-agent: load",
            "connection: Upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            f"sec-websocket-key: {key}",
        ]
        try:
            self._writer.write("\r\n".join([*lines, "", ""]).encode())
            start, headers = await read_head(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Failed("broken", "closed before the response") from error
        except asyncio.LimitOverrunError as error:
            raise Failed("malformed", "not an HTTP response") from error
        self.pod, self.version = headers.get(POD_HEADER, ""), headers.get(VERSION_HEADER, "")
        status = start.split(" ")[1] if " " in start else "none"
        if status != "101":
            raise Failed(f"status {status}", "instead of a WebSocket", self.pod)
        if headers.get("sec-websocket-accept") != websocket.accept(key):
            raise Failed("malformed", "the handshake answers another key", self.pod)
        self._socket = WebSocket(reader, self._writer, client=True)

    async def send(self, text: str) -> bool:
        """A text message."""
        return await self._socket.send(text)

    async def listen(self, heard: Heard) -> str:
        """Messages until the close frame."""
        while not isinstance(said := await self._socket.receive(), Closed):
            heard(said)
        self.drop()
        return BY_US if self._left else "close frame"

    async def leave(self) -> None:
        """A close frame; the server answers with one."""
        self._left = True
        await self._socket.close()

    def drop(self) -> None:
        """Close."""
        if self._writer is not None:
            self._writer.close()


class GrpcLine:
    """A gRPC stream on a channel that others use too: its connection's GOAWAY is what makes us leave.

    `asks`: both sides speak, we half-close and wait for the status. Else the server speaks, we cancel.
    """

    def __init__(self, aim: Aim, channel: Channel) -> None:
        self.pod = self.version = ""
        self.asks = aim.protocol == "grpc-bidi"
        self._aim, self._channel = aim, channel
        self._left = self._told = False

    async def open(self) -> None:
        """Begin the call; headers of the answer come at once."""
        connection = await self._channel.connection()
        self._connection = connection
        method = channels.CHAT if self.asks else channels.TICKS
        self._call = channels.begin(self._channel, connection, method)
        if not self.asks:
            await self._call.send(frames.message(b"%g" % self._aim.pace.every), end=True)
        headers = await self._call.first()
        self.pod, self.version = channels.who(headers)
        if headers.get(":status") != "200" or "grpc-status" in headers:
            channels.check(self._call)

    async def send(self, text: str) -> bool:
        """A message."""
        if self._told or self._call.ended:
            return False
        await self._call.send(frames.message(text.encode()))
        return True

    async def listen(self, heard: Heard) -> str:
        """Messages until the status."""
        warned = asyncio.get_running_loop().create_task(self._move())
        messages = Messages()
        try:
            while data := await self._call.read():
                for content in messages.feed(data):
                    heard(content.decode(errors="replace"))
        except Failed:
            if not self.asks and (self._told or self._left) and not self._connection.closed:
                return "goaway" if self._told else BY_US  # cancelled by us
            raise
        finally:
            warned.cancel()
        if messages.partial:
            raise Failed("broken", "the stream ended in the middle of a message", self.pod)
        channels.check(self._call)
        if self._left:
            return BY_US
        return "goaway" if self._connection.told.is_set() else "status"

    async def leave(self) -> None:
        """Half-close or cancel."""
        self._left = True
        await self._end()

    def drop(self) -> None:
        """Cancel."""
        if hasattr(self, "_call"):
            self._call.cancel()

    async def _move(self) -> None:
        await self._connection.told.wait()
        self._told = True
        try:
            await self._end()
        except Failed:
            pass  # `listen` says so

    async def _end(self) -> None:
        if self.asks:
            await self._call.send(b"", end=True)
        else:
            self._call.cancel()
