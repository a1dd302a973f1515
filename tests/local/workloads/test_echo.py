"""The echo server: what it tells, and how it ends."""

import asyncio
import json
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from linnet.local.workloads.http1 import Connection, Failed, Target

pytestmark = pytest.mark.wired


def free_port() -> int:
    """A port below those that the kernel gives to clients."""
    while True:
        port = random.randrange(16000, 32000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


@asynccontextmanager
async def echo(*arguments: str) -> AsyncIterator[tuple[int, int, asyncio.subprocess.Process]]:
    """A running server: HTTP port, TCP port, process."""
    port, tcp = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "linnet.local.workloads.echo",
        "--port",
        str(port),
        "--tcp-port",
        str(tcp),
        "--pod",
        "web-1",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    await process.stdout.readline()
    try:
        yield port, tcp, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def get(port: int, path: str = "/", **headers: str):
    connection = Connection(Target(f"http://127.0.0.1:{port}{path}"))
    try:
        return await connection.request(headers=headers, timeout=5)
    finally:
        connection.close()


async def test_it_says_who_answered_and_who_asked():
    """Name, version and pod; headers and the caller's identity; the pod also in a header."""
    async with echo("--name", "backend", "--version", "v2") as (port, _, _):
        answer = await get(
            port, "/some/path", **{"x-forwarded-client-cert": "Hash=1;URI=spiffe://cluster.local/ns/a/sa/b"}
        )
    said = json.loads(answer.body)
    assert (said["service"], said["version"], said["pod"], said["path"]) == (
        "backend",
        "v2",
        "web-1",
        "/some/path",
    )
    assert said["identity"] == "spiffe://cluster.local/ns/a/sa/b"
    assert answer.headers["x-linnet-pod"] == "web-1"


async def test_delay_status_and_size_are_the_callers_choice():
    """And nonsense is a 400, not a broken connection."""
    async with echo() as (port, _, _):
        began = time.monotonic()
        answer = await get(port, "/?delay=0.2&status=418&size=5000")
        assert time.monotonic() - began >= 0.2
        assert (answer.status, len(answer.body)) == (418, 5000)
        assert (await get(port, "/?delay=soon")).status == 400


async def test_it_passes_the_question_on():
    """With an upstream its answer is part of the report; without one that answers it is a 502."""
    behind = free_port()
    upstream = ("--upstream", f"http://127.0.0.1:{behind}/")
    async with (
        echo("--name", "backend", "--port", str(behind)) as (_, _, backend),
        echo("--name", "frontend", *upstream) as (port, _, _),
    ):
        said = json.loads((await get(port)).body)
        assert said["upstream"]["answer"]["service"] == "backend"
        backend.kill()
        await backend.wait()
        answer = await get(port)
        assert answer.status == 502
        assert "error" in json.loads(answer.body)["upstream"]


async def test_bytes_come_back():
    """The TCP port echoes."""
    async with echo() as (_, tcp, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()


async def test_sigterm_finishes_what_is_under_way():
    """A slow request is answered with `connection: close`, then the server ends with code 0."""
    async with echo("--linger", "0.1") as (port, _, process):
        slow = asyncio.get_running_loop().create_task(get(port, "/?delay=0.5"))
        await get(port, "/healthz")
        process.send_signal(signal.SIGTERM)
        answer = await slow
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert await process.wait() == 0
        with pytest.raises(Failed):
            await get(port)


async def test_it_serves_on_for_a_moment_after_sigterm():
    """While the rest of the world learns that it goes, it still answers, and says that it is ending."""
    async with echo("--linger", "4") as (port, _, process):
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(4):
            while (answer := await get(port, "/healthz")).status == 200:
                pass
        assert (answer.status, answer.body) == (503, b"ending\n")
        assert (await get(port)).headers["connection"] == "close"
        assert await process.wait() == 0


async def test_it_is_light():
    """Small."""
    async with echo() as (_, _, process):
        with open(f"/proc/{process.pid}/smaps_rollup") as file:  # noqa: ASYNC230
            sizes = {line.split(":")[0]: line.split() for line in file}
        assert int(sizes["Pss"][1]) < 24 * 1024
