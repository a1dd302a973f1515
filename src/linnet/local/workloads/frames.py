"""HTTP/2 frames and gRPC messages as bytes (pure): what both ends of a test write and read.

A frame is 3 bytes of length, a byte each of type and flags, 4 bytes of stream number, then the payload.
Source: RFC 9113, sections 4, 6, 7; gRPC over HTTP/2, length-prefixed messages.
"""

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST = 16384  # bytes of a payload, the protocol's default
LAST_STREAM = 2**31 - 1  # in a GOAWAY that is only a warning
WINDOW = 65535  # bytes, the protocol's default


class Kind(IntEnum):
    """Types of frames that mean something here."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntFlag):
    """Flags; ACK has the bit of END_STREAM."""

    NONE = 0
    END_STREAM = 1
    ACK = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 32


class Code(IntEnum):
    """Error codes."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    REFUSED_STREAM = 7
    CANCEL = 8


class Setting(IntEnum):
    """Parameters of SETTINGS."""

    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4


class Frame(NamedTuple):
    """A frame as it was read."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def body(self) -> bytes:
        """The payload without padding and priority. Raises ValueError."""
        payload, tail = self.payload, 0
        if self.flags & Flag.PADDED:
            tail, payload = payload[0], payload[1:]
        if self.kind == Kind.HEADERS and self.flags & Flag.PRIORITY:
            payload = payload[5:]
        if tail > len(payload):
            raise ValueError("more padding than payload")
        return payload[: len(payload) - tail]


class Deframer:
    """Bytes as they come, frames as they are complete."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now. Raises ValueError for one that is too large."""
        held, found, at = self._held, list[Frame](), 0
        held += data
        while len(held) - at >= 9:
            length = int.from_bytes(held[at : at + 3])
            if length > LARGEST:
                raise ValueError(f"a frame of {length} bytes")
            end = at + 9 + length
            if len(held) < end:
                break
            stream = int.from_bytes(held[at + 5 : at + 9]) & LAST_STREAM
            found.append(Frame(held[at + 3], held[at + 4], stream, bytes(held[at + 9 : end])))
            at = end
        del held[:at]
        return found


def frame(kind: Kind, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """A frame."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def settings(**values: int) -> bytes:
    """SETTINGS with parameters by their names in lower case."""
    pairs = b"".join(struct.pack(">HI", Setting[name.upper()], value) for name, value in values.items())
    return frame(Kind.SETTINGS, payload=pairs)


def goaway(last: int = LAST_STREAM, code: Code = Code.NO_ERROR) -> bytes:
    """GOAWAY: streams above `last` were not looked at."""
    return frame(Kind.GOAWAY, payload=struct.pack(">II", last, code))


def reset(stream: int, code: Code) -> bytes:
    """RST_STREAM."""
    return frame(Kind.RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def more(stream: int, size: int) -> bytes:
    """WINDOW_UPDATE: so many bytes may be sent in addition."""
    return frame(Kind.WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", size))


def code_name(payload: bytes) -> str:
    """The name of an error code, in its four bytes."""
    number = int.from_bytes(payload[:4])
    return Code(number).name if number in Code.__members__.values() else f"code {number}"


def message(content: bytes) -> bytes:
    """A gRPC message, not compressed."""
    return b"\0" + len(content).to_bytes(4) + content


class Messages:
    """gRPC messages out of the data of a stream."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a message has begun and is not whole."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Messages that are whole now."""
        self._held += data
        found: list[bytes] = []
        while len(self._held) >= 5 and len(self._held) >= (size := 5 + int.from_bytes(self._held[1:5])):
            found.append(bytes(self._held[5:size]))
            del self._held[:size]
        return found
