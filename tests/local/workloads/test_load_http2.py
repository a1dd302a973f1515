"""HTTP/2 and gRPC requests to a server that fails on purpose, and what a GOAWAY means to them."""

import asyncio
import socket

import pytest
from tests.local.workloads.failing import Second, patience, seen, serving

from linnet.local.workloads import frames
from linnet.local.workloads.channel import Channel, unary
from linnet.local.workloads.frames import Deframer, Flag, Kind, Messages, message

pytestmark = pytest.mark.wired


async def load(scheme: str, *script: str, **more: object):
    async with serving(Second(*script)) as server:
        return server, await seen(f"{scheme}://127.0.0.1:{server.port}/", **more)


@pytest.mark.parametrize("scheme", ["h2c", "grpc"])
async def test_a_good_server_gives_a_clean_report(scheme):
    """All requests share one connection, and the pod is known."""
    server, record = await load(scheme, rate=100.0, duration=1.0)
    assert record.totals() == (server.requests, 0)
    assert server.requests > 10
    assert server.connections == 1
    assert record.tallies[0].pods == {"web-1": server.requests}


@pytest.mark.parametrize(
    ("behaviour", "kind", "said"),
    [
        ("unavailable", "status 503", "full"),
        ("close", "broken", "closed"),
        ("reset", "broken", "reset by peer"),
        ("truncated", "broken", "not the length"),
        ("half", "broken", "closed"),
        ("stream reset", "reset", "RST_STREAM INTERNAL_ERROR"),
        ("late goaway", "refused", "not processed: GOAWAY NO_ERROR after"),
        ("rubbish", "malformed", "not HTTP/2"),
        ("silent", "timeout", "no response within"),
    ],
)
async def test_each_failure_of_a_request_is_counted_by_kind(behaviour, kind, said):
    """One request goes wrong: exactly one failure, with its moment; the next ones are well."""
    _, record = await load("h2c", "ok", behaviour, timeout=patience(behaviour), rate=10.0, duration=1.5)
    assert {failure["kind"] for failure in record.failures} == {kind}
    assert len(record.failures) == 1 or behaviour == "silent"
    assert said in record.failures[0]["detail"]
    assert record.failures[0]["at"] >= record.started.isoformat(timespec="milliseconds")
    assert record.tallies[0].ok > 1


@pytest.mark.parametrize(
    ("behaviour", "kind", "said"),
    [
        ("refused", "grpc 14", "full"),
        ("status 14", "grpc 14", "full"),
        ("unavailable", "status 503", "instead of a gRPC response"),
        ("no status", "malformed", "without a grpc-status"),
        ("partial", "malformed", "without a grpc-status"),
        ("wrong", "malformed", "not what was sent"),
        ("stream reset", "reset", "RST_STREAM INTERNAL_ERROR"),
        ("close", "broken", "closed"),
        ("silent", "timeout", "no response within"),
    ],
)
async def test_each_failure_of_a_call_is_counted_by_kind(behaviour, kind, said):
    """As with requests; the pod is that of the failed call's own headers where it has some."""
    _, record = await load("grpc", "ok", behaviour, timeout=patience(behaviour), rate=10.0, duration=1.5)
    assert {failure["kind"] for failure in record.failures} == {kind}
    assert len(record.failures) == 1 or behaviour == "silent"
    assert said in record.failures[0]["detail"]
    if kind in ("grpc 14", "malformed", "status 503"):
        assert record.failures[0]["pod"] == "web-1"
    assert record.tallies[0].ok > 1


async def test_a_goaway_in_time_loses_nothing():
    """The call in which it comes is finished; the next one goes over a new connection."""
    server, record = await load("h2c", "ok", "goaway", "ok", "goaway", duration=1.0)
    assert record.totals()[1] == 0
    assert server.connections > 1


async def test_nobody_listening_is_a_failure_to_connect():
    """Every call fails, and each is counted."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    record = await seen(f"grpc://127.0.0.1:{port}/")
    requests, failed = record.totals()
    assert requests == failed > 0
    assert set(record.tallies[0].failed) == {"connect"}


async def test_large_messages_obey_the_windows():
    """More than the windows of stream and connection comes back whole, twice over one connection."""
    async with serving(Second()) as server:
        channel = Channel("127.0.0.1", server.port, "web", 1)
        content = bytes(range(256)) * 4000
        for _ in range(2):
            async with asyncio.timeout(30):
                assert (await unary(channel, "/any", content)).body == content
        await channel.close()
        assert server.connections == 1


@pytest.mark.unit
def test_frames_are_found_wherever_they_are_cut():
    """The same frames, byte by byte and at once; padding and priority are taken off."""
    padded = frames.frame(Kind.HEADERS, Flag.PADDED | Flag.PRIORITY, 3, b"\2" + b"prio!" + b"body" + b"\0\0")
    data = frames.settings(initial_window_size=5) + padded + frames.goaway(7)
    whole = Deframer().feed(data)
    piecemeal = Deframer()
    assert [one for byte in data for one in piecemeal.feed(bytes([byte]))] == whole
    assert [(one.kind, one.stream) for one in whole] == [(4, 0), (1, 3), (7, 0)]
    assert whole[1].body == b"body"
    assert frames.code_name(whole[2].payload[4:]) == "NO_ERROR"
    with pytest.raises(ValueError, match="frame of 16777215 bytes"):
        Deframer().feed(b"\xff" * 9)


@pytest.mark.unit
def test_messages_are_found_wherever_they_are_cut():
    """Two messages, and the beginning of a third."""
    data = message(b"one") + message(b"") + message(b"three")[:-1]
    messages = Messages()
    assert [one for byte in data for one in messages.feed(bytes([byte]))] == [b"one", b""]
    assert messages.partial
