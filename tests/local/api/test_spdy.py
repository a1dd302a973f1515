"""SPDY/3.1 as kubectl speaks it."""

import struct
import zlib

import pytest

from linnet.local.api import spdy

pytestmark = pytest.mark.unit


def opening(pack: "zlib._Compress", number: int, headers: dict[str, str], flags: int = 0) -> bytes:
    """A SYN_STREAM frame as a client sends it."""
    block = struct.pack(">I", len(headers))
    for name, value in headers.items():
        block += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
    packed = pack.compress(block) + pack.flush(zlib.Z_SYNC_FLUSH)
    payload = struct.pack(">IIH", number, 0, 0) + packed
    return struct.pack(">HHI", 0x8003, 1, flags << 24 | len(payload)) + payload


def test_the_dictionary_is_the_draft_s() -> None:
    """The checksum that the draft gives for its dictionary."""
    assert zlib.adler32(spdy.dictionary()) == spdy.ADLER


def test_streams_open_carry_data_and_end() -> None:
    """A stream has its headers; data arrives whatever the cuts between reads; FIN ends it."""
    sent: list[bytes] = []
    opened: list[spdy.Stream] = []
    connection = spdy.Connection(sent.append, opened.append)
    pack = zlib.compressobj(zdict=spdy.dictionary())
    wire = opening(pack, 1, {"streamtype": "error"}) + opening(pack, 3, {"streamType": "data", "port": "80"})
    wire += struct.pack(">II", 3, 5) + b"hello" + struct.pack(">II", 3, 1 << 24)
    for at in range(len(wire)):
        connection.feed(wire[at : at + 1])
    assert [stream.headers["streamtype"] for stream in opened] == ["error", "data"]
    data = opened[1].received
    assert [data.get_nowait(), data.get_nowait()] == [b"hello", None]
    opened[1].send(b"x" * 40_000, last=True)
    frames = b"".join(sent[2:])
    first = struct.unpack_from(">II", frames)
    assert first == (3, 32_768)
    assert struct.unpack_from(">II", frames, 8 + 32_768) == (3, 1 << 24 | 7_232)


def test_pings_are_answered() -> None:
    """A PING comes back as it is."""
    sent: list[bytes] = []
    ping = struct.pack(">HHII", 0x8003, 6, 4, 7)
    spdy.Connection(sent.append, lambda _stream: None).feed(ping)
    assert sent == [ping]


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">II", 1, 0xFFFFFF),
        struct.pack(">HHI", 0x8003, 1, 14) + struct.pack(">IIH", 1, 0, 0) + b"junk",
        struct.pack(">HHI", 0x8003, 3, 2) + b"xx",
    ],
)
def test_nonsense_is_refused(wire: bytes) -> None:
    """Huge frames, bad header blocks and short control frames end the connection."""
    with pytest.raises(spdy.ProtocolError):
        spdy.Connection(lambda _data: None, lambda _stream: None).feed(wire)
