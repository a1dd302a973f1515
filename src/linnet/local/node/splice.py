"""Two connections joined: what comes in by one goes out by the other, half-closes and resets included.

A side that writes slowly stops the reading of the other, so at most a buffer of each is in memory.
"""

import asyncio
import socket
from typing import cast


class Side(asyncio.Protocol):
    """One of two connections. `other` is set before either has data."""

    def __init__(self) -> None:
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes] = []  # for the wire, before there is one
        self._finished = False  # it will send nothing more
        self._ending = False  # the other will send nothing more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there: send what has been waiting."""
        self.transport = made = cast(asyncio.Transport, transport)
        for data in self._early:
            made.write(data)
        self._early.clear()
        if self._ending:
            made.write_eof()

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        if self.other:
            self.other.send(data)

    def eof_received(self) -> bool:
        """Pass on; the connection stays open for the other direction."""
        self._finished = True
        if self.other:
            self.other.finish()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other as this one ended."""
        other, self.other, self.transport = self.other, None, None
        if other and other.transport:
            if exc:
                reset(other.transport)
            else:
                other.transport.close()

    def pause_writing(self) -> None:
        """The wire is slower than the other side."""
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Write, now or when the connection is there."""
        if self.transport:
            self.transport.write(data)
        else:
            self._early.append(data)

    def finish(self) -> None:
        """The other will send nothing more: close that direction, and everything when both are done."""
        self._ending = True
        if not self.transport or self.transport.is_closing():
            return
        if not self._finished:
            self.transport.write_eof()
            return
        self.transport.close()
        if self.other and self.other.transport:
            self.other.transport.close()


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that its peer sees that something went wrong."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    transport.abort()
