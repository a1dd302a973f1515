"""A call: one HTTP/2 stream, at either end. It breaks as refused, reset, broken or malformed."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from linnet.local.workloads import frames
from linnet.local.workloads.frames import Code
from linnet.local.workloads.http1 import Failed


class Carrier(Protocol):
    """The connection, as a call sees it. `window` is what may be sent on it, in bytes."""

    window: int

    def send_headers(self, number: int, headers: Iterable[tuple[str, str]], *, end: bool) -> None:
        """HEADERS of a stream."""

    async def send_data(self, number: int, data: bytes, *, end: bool) -> None:
        """DATA of a stream."""

    def reset(self, number: int, code: Code) -> None:
        """RST_STREAM."""


class Call:
    """One stream. `headers` are what the peer sent first, `trailers` what it sent last."""

    def __init__(self, connection: Carrier, number: int, window: int, *, served: bool) -> None:
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.ended = False  # the peer has said everything
        self.window = window
        self._connection, self._number, self._served = connection, number, served
        self._data: list[bytes] = []
        self._problem: Failed | None = None
        self._changed = asyncio.Event()
        self._sent_all = False
        self._expected = -1

    @property
    def over(self) -> bool:
        """Whether nothing more will come or go."""
        return self._problem is not None or (self.ended and self._sent_all)

    def send_headers(self, headers: Iterable[tuple[str, str]], *, end: bool = False) -> None:
        """HEADERS: the first ones, or trailers with `end`. Nothing happens if the call is over."""
        if self._problem is None and not self._sent_all:
            self._sent_all = end
            self._connection.send_headers(self._number, headers, end=end)

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """DATA, as fast as the peer allows; nothing once it has answered for good. Raises Failed."""
        while (data or end) and not self._answered:
            self._raise()
            room = min(self.window, self._connection.window, frames.LARGEST)
            if data and room <= 0:
                await self._wait()
                continue
            part, data = data[:room], data[room:]
            last = end and not data
            self.window -= len(part)
            self._sent_all = self._sent_all or last
            await self._connection.send_data(self._number, part, end=last)
            end = end and not last

    def cancel(self) -> None:
        """RST_STREAM unless it is over: nobody here reads or writes it any more."""
        if not self.over:
            done = self._answered or (self._served and self._sent_all)
            self._connection.reset(self._number, Code.NO_ERROR if done else Code.CANCEL)
            self._sent_all = True
            self.fail("broken", "cancelled by us")

    async def first(self) -> Mapping[str, str]:
        """The peer's headers. Raises Failed."""
        while not self.headers:
            self._raise()
            if self.ended:
                raise Failed("malformed", "the stream ended without headers")
            await self._wait()
        return self.headers

    async def read(self) -> bytes:
        """Some data, empty at the end. Raises Failed."""
        while not self._data:
            self._raise()
            if self.ended:
                return b""
            await self._wait()
        data = b"".join(self._data)
        self._data.clear()
        return data

    async def read_all(self) -> bytes:
        """All data. Raises Failed."""
        whole = bytearray()
        while data := await self.read():
            whole += data
        return bytes(whole)

    # -- what the connection tells ------------------------------------------

    def came_headers(self, headers: dict[str, str], *, end: bool) -> None:
        """The peer's headers or trailers; informational ones are passed over."""
        if self.headers:
            self.trailers = headers
        elif not headers.get(":status", "").startswith("1"):
            self.headers = headers
            self._expected = int(headers.get("content-length", -1))
        self._came_end(end=end)

    def came_data(self, data: bytes, *, end: bool) -> None:
        """The peer's data."""
        if data:
            self._data.append(data)
        if self._expected >= 0:
            self._expected -= len(data)
            if self._expected < 0 or (end and self._expected > 0):
                self.fail("broken", "the body has not the length that was said")
        self._came_end(end=end)

    def fail(self, kind: str, detail: str) -> None:
        """The call breaks, unless it is over or the peer has answered for good."""
        if not self.over and not self._answered:
            self._problem = Failed(kind, detail)
        self._changed.set()

    def wake(self) -> None:
        """Something changed that a waiter may wait for."""
        self._changed.set()

    @property
    def _answered(self) -> bool:
        """As a client: the answer has ended, whatever becomes of what we say."""
        return self.ended and not self._served

    def _came_end(self, *, end: bool) -> None:
        self.ended = self.ended or end
        self._changed.set()

    def _raise(self) -> None:
        if self._problem is not None:
            raise self._problem

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
