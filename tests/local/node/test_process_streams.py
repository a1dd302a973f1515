"""Pipes and terminals of processes, back-off and grace."""

import asyncio
import os
import subprocess
from collections.abc import Sequence

import pytest

from linnet.local.node.backoff import Backoff, spoken
from linnet.local.node.grace import Grace
from linnet.local.node.pipes import Pipes

pytestmark = pytest.mark.unit


def start(pipes: Pipes, argv: Sequence[str]) -> subprocess.Popen[bytes]:
    child = pipes.child
    process = subprocess.Popen(argv, stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    pipes.started()
    return process


async def test_output_comes_by_stream_and_input_ends() -> None:
    """Both outputs are told apart; the end of input is seen by the process."""
    got: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    def take(stream: str, data: bytes) -> None:
        got[stream] += data

    pipes = Pipes(take, stdin=True)
    process = start(pipes, ["sh", "-c", "cat; echo err >&2"])
    large = b"0123456789abcdef" * 20_000
    await pipes.write(large)
    pipes.close_stdin()
    async with asyncio.timeout(5):
        await pipes.ended.wait()
    assert process.wait() == 0
    pipes.finish()
    assert got == {"stdout": large, "stderr": b"err\n"}


async def test_what_was_written_before_the_end_is_read() -> None:
    """`finish` takes what is in the pipe, though other holders keep it open."""
    got = bytearray()
    pipes = Pipes(lambda _, data: got.extend(data))
    process = start(pipes, ["sh", "-c", "sleep 20 & echo $!; exit 3"])
    assert await asyncio.to_thread(process.wait) == 3
    pipes.finish()
    assert pipes.ended.is_set()
    os.kill(int(got), 9)


async def test_a_terminal_is_one_stream_and_has_a_size() -> None:
    """stdout and stderr are one; the size can be asked."""
    got = bytearray()
    pipes = Pipes(lambda _, data: got.extend(data), tty=True, stdin=True)
    pipes.resize(91, 17)
    process = start(pipes, ["sh", "-c", "stty size; echo err >&2"])
    async with asyncio.timeout(5):
        await pipes.ended.wait()
    assert process.wait() == 0
    assert got.replace(b"\r", b"") == b"17 91\nerr\n"


async def test_a_process_that_does_not_read_is_a_broken_pipe() -> None:
    """The writer learns it."""
    pipes = Pipes(lambda _stream, _data: None, stdin=True)
    process = start(pipes, ["true"])
    await asyncio.to_thread(process.wait)
    with pytest.raises(BrokenPipeError):
        await pipes.write(b"x")
    pipes.finish()


def test_back_off_doubles_from_the_second_failure_and_is_forgotten() -> None:
    """At once, 10 s, 20 s, … 300 s; ten good minutes begin anew."""
    backoff = Backoff()
    assert [backoff.failed(1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert [backoff.failed(601), backoff.failed(1)] == [0, 10]
    assert [spoken(10), spoken(160), spoken(300)] == ["10s", "2m40s", "5m0s"]


async def test_grace_may_become_shorter_but_never_longer() -> None:
    """A second deletion with less grace ends a wait that is under way."""
    grace = Grace(60)
    asyncio.get_running_loop().call_soon(grace.shorten, 0.01)
    with pytest.raises(TimeoutError):
        async with grace.limit():
            await asyncio.Event().wait()
    grace.shorten(60)
    assert grace.left == 0
