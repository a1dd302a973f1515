"""Long streams: the client says of each whether it was told that it ends, with servers that do either."""

import asyncio
import signal
from datetime import UTC, datetime

import pytest
from tests.local.workloads.failing import Bytes, Second, Web, options, patience, seen, serving
from tests.local.workloads.test_echo import echo

from linnet.local.workloads import load, websocket
from linnet.local.workloads.record import BY_US, RESET, Record

pytestmark = pytest.mark.wired
KINDS = {"tcp": Bytes, "ws": Web, "grpc+bidi": Second, "grpc+server": Second}


async def ends(scheme: str, *script: str, **more: object):
    async with serving(KINDS[scheme](*script)) as server:
        record = await seen(f"{scheme}://127.0.0.1:{server.port}/", **more)
    return record, record.tallies[0]


@pytest.mark.parametrize("scheme", ["tcp", "ws", "grpc+bidi"])
async def test_a_good_server_gives_a_clean_report(scheme):
    """Messages come back on one stream, which we end; it is not counted as told."""
    record, tally = await ends(scheme, duration=1.0)
    assert record.failures == []
    assert tally.ok > 3
    assert (tally.opened, tally.ended) == (1, {BY_US: 1})
    assert tally.pods == {"web-1": tally.ok}


@pytest.mark.parametrize("scheme", ["tcp", "ws", "grpc+bidi"])
async def test_streams_have_the_life_that_is_asked_for(scheme):
    """We end them in order, one after the other."""
    record, tally = await ends(scheme, life=0.05, duration=1.0)
    assert record.failures == []
    assert tally.opened > 2
    assert tally.ended == {BY_US: tally.opened}


@pytest.mark.parametrize(
    ("scheme", "behaviour", "how"),
    [
        ("tcp", "bye", "bye"),
        ("ws", "close frame", "close frame"),
        ("grpc+bidi", "goaway", "goaway"),
        ("grpc+bidi", "status", "status"),
    ],
)
async def test_a_stream_that_is_told_to_end_is_no_failure(scheme, behaviour, how):
    """Its end is counted by how it was told, and the next stream is opened."""
    record, tally = await ends(scheme, behaviour, duration=1.5)
    assert record.failures == []
    assert tally.ended == {how: 1, BY_US: 1}
    assert tally.opened == 2
    assert tally.counts()["told"] == 1


@pytest.mark.parametrize(
    ("scheme", "behaviour", "kind", "said"),
    [
        ("tcp", "fin", "broken", "FIN without a word"),
        ("tcp", "half", "broken", "FIN in the middle of a message"),
        ("tcp", "bye and fin", "broken", "not answered"),
        ("tcp", "reset", "reset", "reset by peer"),
        ("tcp", "wrong", "malformed", "not what is to come back"),
        ("tcp", "silent", "timeout", "unanswered"),
        ("ws", "fin", "broken", "without a close frame"),
        ("ws", "half", "broken", "in the middle of a frame"),
        ("ws", "reset", "broken", "without a close frame"),
        ("ws", "wrong", "malformed", "not what is to come back"),
        ("ws", "silent", "timeout", "unanswered"),
        ("grpc+bidi", "stream reset", "reset", "RST_STREAM INTERNAL_ERROR"),
        ("grpc+bidi", "close", "broken", "closed"),
        ("grpc+bidi", "reset", "broken", "reset by peer"),
        ("grpc+bidi", "goaway and close", "broken", "GOAWAY came before"),
        ("grpc+bidi", "no status", "malformed", "without a grpc-status"),
        ("grpc+bidi", "partial", "broken", "in the middle of a message"),
        ("grpc+bidi", "status 14", "grpc 14", "full"),
        ("grpc+bidi", "silent", "timeout", "unanswered"),
        ("grpc+server", "close", "broken", "closed"),
        ("grpc+server", "stream reset", "reset", "RST_STREAM"),
        ("grpc+server", "silent", "timeout", "0 unanswered"),
    ],
)
async def test_a_stream_that_just_ends_is_a_failure(scheme, behaviour, kind, said):
    """Exactly one failure, of its kind, with its pod; the stream counts as reset."""
    async with serving(KINDS[scheme](behaviour, "once")) as server:
        url = f"{scheme}://127.0.0.1:{server.port}/"
        stop = asyncio.Event()

        def say(line: str) -> None:
            if "FAILED" in line:
                stop.set()

        record = await seen(url, stop, say, duration=0.0, timeout=patience(behaviour), every=0.3)
    tally = record.tallies[0]
    assert tally.ended[RESET] == 1
    failure = record.failures[0]
    assert (failure["kind"], failure["pod"]) == (kind, "web-1")
    assert said in failure["detail"]
    assert tally.counts()["reset"] == 1


@pytest.mark.parametrize(
    ("scheme", "behaviour", "kind"),
    [
        ("tcp", "rubbish", "malformed"),
        ("ws", "unavailable", "status 503"),
        ("ws", "other key", "malformed"),
        ("grpc+bidi", "unavailable", "status 503"),
        ("grpc+bidi", "refused", "grpc 14"),
    ],
)
async def test_a_stream_that_does_not_open_is_a_failure(scheme, behaviour, kind):
    """It is counted as a failure and not as opened; the next attempt is a new stream."""
    record, tally = await ends(scheme, behaviour, duration=1.5)
    assert [failure["kind"] for failure in record.failures] == [kind]
    assert "while it opened" in record.failures[0]["detail"]
    assert (tally.opened, tally.ended) == (1, {BY_US: 1})


@pytest.mark.parametrize(
    ("scheme", "how"),
    [
        ("tcp", "bye"),
        ("ws", "close frame"),
        ("grpc+bidi", "goaway"),
        ("grpc+server", "goaway"),
        ("h2c", ""),
        ("grpc", ""),
        ("http", ""),
    ],
)
async def test_the_echo_server_ends_without_a_loss(scheme, how):
    """SIGTERM under load: streams are told, and no request before the last one to be begun is lost."""
    async with echo("--linger", "0.5" if how else "4") as (port, tcp, process):
        stop, record = asyncio.Event(), Record("test", datetime.now(UTC))
        target = f"{scheme}://127.0.0.1:{tcp if scheme == 'tcp' else port}/"
        asked = options(target, duration=0.0, timeout=10.0, streams=3, rate=50.0, every=0.05)
        loading = asyncio.get_running_loop().create_task(
            load.run(asked, record, stop, lambda line: None), name="load"
        )
        while record.totals()[0] < 10 or (how and record.tallies[0].opened < 3):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        if how:
            await process.wait()
        stop.set()
        await loading
        await process.wait()
    assert [one for one in record.failures if "while it opened" not in one["detail"]] == []
    if how:
        assert record.tallies[0].ended[how] >= 3


@pytest.mark.unit
def test_masks_and_keys_are_those_of_the_standard():
    """RFC 6455, 1.3 and 5.7."""
    assert websocket.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    sent = websocket.frame(websocket.Op.TEXT, b"Hello", mask=b"\x37\xfa\x21\x3d")
    assert sent == b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
    assert websocket.frame(websocket.Op.BINARY, bytes(300))[:4] == b"\x82\x7e\x01\x2c"
    assert websocket.frame(websocket.Op.BINARY, bytes(70000))[1:10] == b"\x7f" + (70000).to_bytes(8)
