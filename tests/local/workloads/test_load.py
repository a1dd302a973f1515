"""The load client against a server that fails on purpose: every kind of failure is seen, named and placed."""

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from linnet.local.workloads import load
from linnet.local.workloads.echo import client_identity
from linnet.local.workloads.record import Latencies, Record

pytestmark = pytest.mark.wired

OK = b"HTTP/1.1 200 OK\r\nx-linnet-pod: web-1\r\nx-linnet-version: v2\r\ncontent-length: 2\r\n"


class Server:
    """Answers each request with the next of its scripted behaviours, then well for ever."""

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.connections = 0
        self.requests = 0
        self.port = 0

    async def connection(self, reader, writer) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                behaviour = self.script.pop(0) if self.script else "ok"
                if not await self.behave(behaviour, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def behave(self, behaviour: str, writer) -> bool:
        match behaviour:
            case "ok":
                writer.write(OK + b"\r\nok")
            case "last":
                writer.write(OK + b"connection: close\r\n\r\nok")
                return False
            case "unavailable":
                writer.write(b"HTTP/1.1 503 X\r\nx-linnet-pod: web-1\r\ncontent-length: 5\r\n\r\nfull\n")
            case "chunked":
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            case "close":
                return False
            case "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return False
            case "half":
                writer.write(OK.replace(b": 2", b": 9") + b"\r\nok")
                return False
            case "rubbish":
                writer.write(b"SSH-2.0-what\r\n\r\n")
                return False
            case "silent":
                await asyncio.sleep(60)
        return True


@asynccontextmanager
async def served(*script: str) -> AsyncIterator[Server]:
    server = Server(*script)
    tasks: set[asyncio.Task] = set()

    async def connection(reader, writer) -> None:
        tasks.add(asyncio.current_task())
        await server.connection(reader, writer)

    listening = await asyncio.start_server(connection, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def options(port: int, **more: object) -> argparse.Namespace:
    given = {"target": [f"http://127.0.0.1:{port}/"], "rate": 100.0, "connections": 1, "name": "test"}
    rest = {"new_connections": 0.0, "duration": 0.3, "timeout": 1.0, "port": 0, "wait": 0.0}
    return argparse.Namespace(**(rest | given | more))


async def seen(server: Server, **more: object) -> Record:
    return await load.run(options(server.port, **more), asyncio.Event(), lambda line: None)


async def test_a_good_server_gives_a_clean_report():
    """Nothing fails; requests come at the rate that was asked for, over one connection."""
    async with served() as server:
        record = await seen(server, duration=0.5)
    requests, failed = record.totals()
    assert failed == 0
    assert 40 <= requests <= 52
    assert server.connections == 1
    tally = record.report(record.started, running=False)["targets"][f"http://127.0.0.1:{server.port}/"]
    assert tally["pods"] == {"web-1": requests}
    assert tally["versions"] == {"v2": requests}


@pytest.mark.parametrize(
    ("behaviour", "kind", "said"),
    [
        ("unavailable", "status 503", "full"),
        ("close", "broken", "closed before the response, request 2"),
        ("reset", "broken", "request 2 on its connection"),
        ("half", "broken", "closed in the middle of a response"),
        ("rubbish", "malformed", "not an HTTP response"),
        ("silent", "timeout", "no response within 0.2 s"),
    ],
)
async def test_each_failure_is_counted_by_kind_with_its_pod(behaviour, kind, said):
    """One request goes wrong: exactly one failure, of its kind, with the pod that answered before."""
    async with served("ok", behaviour) as server:
        record = await seen(server, timeout=0.2)
    assert record.totals()[1] == 1
    failure = record.failures[0]
    assert failure["kind"] == kind
    assert said in failure["detail"]
    assert failure["pod"] == "web-1"
    assert failure["at"] >= record.started.isoformat(timespec="milliseconds")


async def test_nobody_listening_is_a_failure_to_connect():
    """Every request fails, and each is counted."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    record = await load.run(options(port), asyncio.Event(), lambda line: None)
    requests, failed = record.totals()
    assert requests == failed > 10
    assert set(record.tallies[f"http://127.0.0.1:{port}/"].failed) == {"connect"}


async def test_connection_close_is_honoured():
    """A server that says goodbye in its response loses no request: the next goes over a new connection."""
    async with served("ok", "last", "ok", "last") as server:
        record = await seen(server)
    assert record.totals()[1] == 0
    assert server.connections == 3


async def test_fresh_connections_are_fresh():
    """`--new-connections` opens one for each request."""
    async with served() as server:
        record = await seen(server, rate=0.0, new_connections=50.0)
    assert record.totals()[1] == 0
    assert server.connections == server.requests > 10


async def test_chunked_responses_are_whole():
    """The body's end is found without a length."""
    async with served("chunked", "chunked") as server:
        record = await seen(server)
    assert record.totals()[1] == 0
    assert server.connections == 1


async def test_what_comes_before_the_first_answer_is_not_counted():
    """With `--wait` the count begins when the target answers."""
    async with served("unavailable", "close") as server:
        record = await seen(server, wait=5.0, duration=0.8)
    assert record.totals()[1] == 0
    assert record.totals()[0] > 10


async def test_the_program_reports_and_its_exit_code_tells(tmp_path):
    """A failing run: exit code 1, one line for the failure, a JSON report and one for people."""
    report = tmp_path / "report.json"
    async with served("ok", "unavailable") as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "linnet.local.workloads.load",
            "--name",
            "me",
            "--duration",
            "0.3",
            "--target",
            f"http://127.0.0.1:{server.port}/",
            "--report",
            str(report),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 1
    assert "FAILED" in text
    assert "1 failed" in text
    written = json.loads(report.read_text())
    assert written["failed"] == 1
    assert written["running"] is False
    assert written["failures"][0]["kind"] == "status 503"


@pytest.mark.unit
def test_quantiles_are_never_below_the_truth():
    """A quantile is at least the value that it names, and at most 15 % above."""
    latencies = Latencies()
    for n in range(1, 101):
        latencies.add(n / 1000)
    assert 0.050 <= latencies.quantile(0.5) <= 0.058
    assert 0.099 <= latencies.quantile(0.99) <= 0.100
    assert latencies.quantile(1.0) == latencies.longest == 0.1


@pytest.mark.unit
def test_the_identity_is_that_of_the_last_hop():
    """Of a forwarded certificate header, the last element counts."""
    header = (
        'By=spiffe://a/b;Hash=0;URI=spiffe://a/first,By=spiffe://a/c;Hash=1;Subject="";URI=spiffe://a/last'
    )
    assert client_identity(header) == "spiffe://a/last"
    assert client_identity("") == ""
