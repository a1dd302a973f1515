"""Logs of containers on disk."""

import asyncio
import re
from pathlib import Path

import pytest

from linnet.local.node import logs
from linnet.local.node.logs import Log, LogQuery

pytestmark = pytest.mark.unit


async def text(path: Path, query: LogQuery, log: Log | None = None) -> str:
    return b"".join([piece async for piece in logs.read(str(path), query, log)]).decode()


async def test_lines_have_time_stream_and_tag(tmp_path: Path) -> None:
    """The format that other tools read; an unfinished line is written at the end as a part."""
    log = Log(str(tmp_path / "0.log"))
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"oops\n")
    log.write("stdout", b"o\nrest")
    log.close()
    lines = (tmp_path / "0.log").read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", "", line) for line in lines] == [
        "stdout F one",
        "stderr F oops",
        "stdout F two",
        "stdout P rest",
    ]
    assert await text(tmp_path / "0.log", LogQuery()) == "one\noops\ntwo\nrest"


async def test_a_long_line_is_one_line_again_when_read(tmp_path: Path) -> None:
    """It is stored in parts of 16 KiB."""
    log = Log(str(tmp_path / "0.log"))
    log.write("stdout", b"x" * 40_000 + b"\n")
    log.close()
    assert await text(tmp_path / "0.log", LogQuery()) == "x" * 40_000 + "\n"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (LogQuery(tail=1), "line 99\n"),
        (LogQuery(tail=0), ""),
        (LogQuery(tail=1000, limit=14), "line 0\nline 1\n"),
        (LogQuery(limit=3), "lin"),
        (LogQuery(since="2999-01-01T00:00:00.000000000Z"), ""),
        (LogQuery(stream="stderr"), ""),
    ],
)
async def test_queries(tmp_path: Path, query: LogQuery, expected: str) -> None:
    """What kubectl logs asks for."""
    log = Log(str(tmp_path / "0.log"))
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(100)))
    log.close()
    assert await text(tmp_path / "0.log", query) == expected


async def test_a_tail_may_be_longer_than_a_block(tmp_path: Path) -> None:
    """The end of the file is searched backwards, block by block."""
    log = Log(str(tmp_path / "0.log"))
    log.write("stdout", b"".join(b"%06d %s\n" % (number, b"y" * 90) for number in range(3000)))
    log.close()
    shown = await text(tmp_path / "0.log", LogQuery(tail=2000))
    assert shown.splitlines()[0].startswith("001000")
    assert len(shown.splitlines()) == 2000


async def test_timestamps_stand_in_front(tmp_path: Path) -> None:
    """As with `kubectl logs --timestamps`."""
    log = Log(str(tmp_path / "0.log"))
    log.write("stdout", b"one\n")
    log.close()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\S+Z one\n", await text(tmp_path / "0.log", LogQuery(timestamps=True))
    )


async def test_following_ends_with_the_log(tmp_path: Path) -> None:
    """New lines arrive, also over a rotation; the end of the container is the end."""
    log = Log(str(tmp_path / "0.log"), rotate_bytes=200)
    log.write("stdout", b"first\n")
    seen: list[bytes] = []
    grown = asyncio.Event()

    async def follow() -> None:
        async for piece in logs.read(str(tmp_path / "0.log"), LogQuery(follow=True), log):
            seen.append(piece)
            grown.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        for number in range(30):
            await grown.wait()
            grown.clear()
            log.write("stdout", b"more %d\n" % number)
        await grown.wait()
        log.close()
    assert b"".join(seen).decode() == "first\n" + "".join(f"more {number}\n" for number in range(30))
    assert len(logs.rotated(str(tmp_path / "0.log"))) == logs.ROTATED_FILES


def test_last_words_are_the_end_of_the_log(tmp_path: Path) -> None:
    """For terminationMessagePolicy FallbackToLogsOnError."""
    log = Log(str(tmp_path / "0.log"))
    log.write("stderr", b"a\nb\nc\n")
    log.close()
    assert logs.last(str(tmp_path / "0.log"), lines=2, limit=100) == "b\nc\n"
    assert logs.last(str(tmp_path / "none"), lines=2, limit=100) == ""
