"""WebSocket frames and the handshake's key (pure), and one end of a WebSocket over asyncio's streams.

Source: RFC 6455. Messages are short and whole; fragments are put together; no extensions.
"""

import asyncio
import base64
import hashlib
import os
from enum import IntEnum
from typing import NamedTuple

from linnet.local.workloads.http1 import Failed

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST = 2**20  # bytes of a message


class Op(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Closed(NamedTuple):
    """The peer's close frame; code 1005 if it gave none."""

    code: int
    reason: str


def new_key() -> str:
    """A client's `sec-websocket-key`."""
    return base64.b64encode(os.urandom(16)).decode()


def accept(key: str) -> str:
    """The server's `sec-websocket-accept` for a key."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()


def masked(data: bytes, mask: bytes) -> bytes:
    """Data under a mask of four bytes; the same again takes it off."""
    size = len(data)
    pattern = int.from_bytes((mask * (size // 4 + 1))[:size])
    return (int.from_bytes(data) ^ pattern).to_bytes(size)


def frame(op: Op, data: bytes, *, mask: bytes = b"") -> bytes:
    """A final frame; clients mask."""
    size, bit = len(data), 0x80 if mask else 0
    head = bytes((0x80 | op,))
    if size < 126:
        head += bytes((bit | size,))
    elif size < 2**16:
        head += bytes((bit | 126,)) + size.to_bytes(2)
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8)
    return head + mask + (masked(data, mask) if mask else data)


class WebSocket:
    """One end, after the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool) -> None:
        self._reader, self._writer, self._client = reader, writer, client
        self._closing = False

    async def send(self, text: str) -> bool:
        """A text message, unless the WebSocket is closing. Raises Failed."""
        if not self._closing:
            await self._write(Op.TEXT, text.encode())
        return not self._closing

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """A close frame, once; the peer answers with one. Raises Failed."""
        if not self._closing:
            self._closing = True
            await self._write(Op.CLOSE, code.to_bytes(2) + reason.encode())

    async def receive(self) -> str | Closed:
        """The next message, or how the peer closes. Raises Failed: broken, malformed."""
        held = bytearray()
        try:
            while True:
                op, final, data = await self._frame()
                match op:
                    case Op.CLOSE:
                        code = int.from_bytes(data[:2]) if len(data) >= 2 else 1005
                        await self._answer_close(code)
                        return Closed(code, data[2:].decode(errors="replace"))
                    case Op.PING:
                        await self._write(Op.PONG, data)
                    case Op.PONG:
                        pass
                    case _:
                        held += data
                        if final:
                            return held.decode()
        except asyncio.IncompleteReadError as error:
            seen = "in the middle of a frame" if error.partial else "without a close frame"
            raise Failed("broken", f"closed {seen}") from error
        except OSError as error:
            raise Failed("broken", f"{error}, without a close frame") from error
        except ValueError as error:
            raise Failed("malformed", f"not a WebSocket frame: {error}") from error

    async def _answer_close(self, code: int) -> None:
        try:
            await self.close(code if code != 1005 else 1000)
        except Failed:
            pass  # it has said goodbye and is gone

    async def _frame(self) -> tuple[Op, bool, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
        if size > _LARGEST:
            raise ValueError(f"a frame of {size} bytes")
        mask = await self._reader.readexactly(4) if second & 0x80 else b""
        data = await self._reader.readexactly(size)
        return Op(first & 0x0F), bool(first & 0x80), masked(data, mask) if mask else data

    async def _write(self, op: Op, data: bytes) -> None:
        try:
            self._writer.write(frame(op, data, mask=os.urandom(4) if self._client else b""))
            await self._writer.drain()
        except OSError as error:
            raise Failed("broken", f"{error}, without a close frame") from error
