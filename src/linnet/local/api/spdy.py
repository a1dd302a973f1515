"""SPDY/3.1 as Kubernetes uses it: streams with headers over one connection, no flow control.

    frame: control bit, version and type (or stream id) │ flags │ length │ payload

Source: the SPDY/3 and 3.1 drafts.
"""

import asyncio
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_VERSION = 0x8003
_FIN = 1
_LARGEST = 32 << 10  # bytes in one data frame
_LONGEST = 4 << 20  # bytes that a peer may announce in one frame

_WORDS = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
]
# The end of the dictionary is one string without lengths.
_TAIL = (
    "200 OK\x00\x00\x00\x07version\x00\x00\x00\x08HTTP/1.1\x00\x00\x00\x03url\x00\x00\x00\x06public"
    "\x00\x00\x00\nset-cookie\x00\x00\x00\nkeep-alive\x00\x00\x00\x06origin"
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
# Adler-32 of the dictionary; both drafts give it with the text.
ADLER = 0xE3C6A7C2


def dictionary() -> bytes:
    """The dictionary that header blocks are compressed with."""
    words = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS)
    return words + struct.pack(">I", len("200 OK")) + _TAIL.encode("latin-1")


class ProtocolError(Exception):
    """The peer does not speak SPDY/3.1."""


@dataclass(slots=True)
class Stream:
    """One stream that the peer opened."""

    connection: "Connection"
    number: int
    headers: dict[str, str]
    # None: the peer is done
    received: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)
    finished: bool = False

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Send data; `last` ends our half."""
        if self.finished:
            return
        for at in range(0, max(len(data), 1), _LARGEST):
            piece = data[at : at + _LARGEST]
            flags = _FIN if last and at + _LARGEST >= len(data) else 0
            self.connection.write(struct.pack(">II", self.number, flags << 24 | len(piece)) + piece)
        self.finished = last

    def close(self) -> None:
        self.send(b"", last=True)


@dataclass(slots=True)
class Connection:
    """The accepting side; the caller moves the bytes: `feed` what comes, `write` gets what goes."""

    write: Callable[[bytes], None]
    opened: Callable[[Stream], None]
    streams: dict[int, Stream] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _buffer: bytearray = field(default_factory=bytearray)
    _unpack: "zlib._Decompress" = field(default_factory=lambda: zlib.decompressobj(zdict=dictionary()))
    _pack: "zlib._Compress" = field(
        default_factory=lambda: zlib.compressobj(zdict=dictionary(), wbits=zlib.MAX_WBITS)
    )

    def feed(self, data: bytes) -> None:
        """Take bytes of the peer.

        Raises: ProtocolError.
        """
        self._buffer += data
        while len(self._buffer) >= 8:  # bytes of a frame's head
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & 0xFFFFFF
            if length > _LONGEST:
                raise ProtocolError(f"a frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            flags = second >> 24
            if first >> 31:
                self._control(first & 0xFFFF, flags, payload)
            else:
                self._data(first, flags, payload)

    def end(self) -> None:
        """The connection is gone."""
        self.ended.set()
        for stream in self.streams.values():
            stream.received.put_nowait(None)

    def _data(self, number: int, flags: int, payload: bytes) -> None:
        stream = self.streams.get(number)
        if stream is None:
            return
        if payload:
            stream.received.put_nowait(payload)
        if flags & _FIN:
            stream.received.put_nowait(None)

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        match kind:
            case _ if kind == _SYN_STREAM:
                self._open(flags, payload)
            case _ if kind == _PING:
                self._send(_PING, payload)
            case _ if kind == _RST_STREAM:
                stream = self.streams.pop(_number(payload), None)
                if stream is not None:
                    stream.received.put_nowait(None)
            case _ if kind == _GOAWAY:
                self.end()
            case _ if kind == _HEADERS:
                self._headers(payload[4:])  # keeps the decompressor in step

    def _open(self, flags: int, payload: bytes) -> None:
        stream = Stream(self, _number(payload), self._headers(payload[10:]))
        self.streams[stream.number] = stream
        block = self._pack.compress(struct.pack(">I", 0)) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        self._send(_SYN_REPLY, struct.pack(">I", stream.number) + block)
        if flags & _FIN:
            stream.received.put_nowait(None)
        self.opened(stream)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            raw = self._unpack.decompress(block, _LONGEST)
            count, at = struct.unpack_from(">I", raw)[0], 4
            parts = []
            for _ in range(2 * count):
                length = struct.unpack_from(">I", raw, at)[0]
                parts.append(raw[at + 4 : at + 4 + length].decode())
                at += 4 + length
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"a header block that cannot be read: {error}") from error
        return {name.lower(): value for name, value in zip(parts[::2], parts[1::2], strict=True)}

    def _send(self, kind: int, payload: bytes) -> None:
        self.write(struct.pack(">HHI", _VERSION, kind, len(payload)) + payload)


def _number(payload: bytes) -> int:
    if len(payload) < 4:  # bytes of a stream's number
        raise ProtocolError("a control frame without a stream")
    return int(struct.unpack_from(">I", payload)[0]) & 0x7FFFFFFF
