"""A long stream over plain TCP, and the little protocol that tells its ends apart.

client  linnet           server  pod NAME VERSION
        a line                   the same line
        FIN                      the rest, FIN
                                 bye, when it ends: then it waits for our FIN
"""

import asyncio
from collections.abc import Callable

from linnet.local.workloads.aims import Aim
from linnet.local.workloads.dial import connected
from linnet.local.workloads.http1 import Failed
from linnet.local.workloads.record import BY_US

HELLO, BYE = b"linnet\n", b"bye\n"


class TcpLine:
    """Lines of text over TCP. A server that ends says `bye`, answers what still comes, then closes."""

    asks = True

    def __init__(self, aim: Aim) -> None:
        self.pod = self.version = ""
        self._aim = aim
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._left = self._finished = False

    async def open(self) -> None:
        """Connect and learn who is there."""
        self._reader, self._writer = await connected(self._aim.host, self._aim.port)
        await self._write(HELLO)
        said = (await self._line()).split()
        if len(said) != 3 or said[0] != b"pod":
            raise Failed("malformed", f"not the greeting of an echo server: {b' '.join(said)[:80]!r}")
        self.pod, self.version = said[1].decode(), said[2].decode()

    async def send(self, text: str) -> bool:
        """A line, unless we have said FIN."""
        if not self._finished:
            await self._write(text.encode() + b"\n")
        return not self._finished

    async def listen(self, heard: Callable[[str], None]) -> str:
        """Lines until FIN; it is in order only after `bye` or after our own FIN."""
        told = False
        while True:
            line = await self._line(may_end=told or self._left)
            if not line:
                return "bye" if told else BY_US
            if line == BYE:
                told = True
                self._finish()
            else:
                heard(line[:-1].decode(errors="replace"))

    async def leave(self) -> None:
        """FIN; the server answers what is under way, then its own follows."""
        self._left = True
        self._finish()

    def drop(self) -> None:
        """Close."""
        if self._writer is not None:
            self._writer.close()

    def _finish(self) -> None:
        self._finished = True
        if self._writer is not None and not self._writer.is_closing():
            try:
                self._writer.write_eof()
            except OSError:
                pass  # whoever reads says so

    async def _line(self, *, may_end: bool = False) -> bytes:
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise Failed("reset", str(error)) from error
        except ValueError as error:
            raise Failed("malformed", "a line without an end") from error
        if line.endswith(b"\n") or (not line and (may_end or self._left)):
            return line
        where = "in the middle of a message" if line else "without a word"
        raise Failed("broken", f"FIN {where}")

    async def _write(self, data: bytes) -> None:
        assert self._writer is not None
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Failed("reset", str(error)) from error
