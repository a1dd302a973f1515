"""Probes: what answers mean, and how servers are asked."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.local.node.pods import pod

from linnet.local.node import fetch, grpc_health
from linnet.local.node.container_spec import HttpGet, Probe
from linnet.local.node.probes import Failure, Verdict, check, verdicts
from linnet.local.node.runtime import Command, Process, Stdio

pytestmark = pytest.mark.unit


class Loopback:
    """A sandbox whose network is this machine's loopback."""

    ip = "127.0.0.1"

    async def connect(self, port: int, *, host: str = "127.0.0.1", timeout: float = 1.0) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_connect(made, (host, port))
        except BaseException:
            made.close()
            raise
        return made

    def listen(self, port: int, *, host: str = "0.0.0.0") -> socket.socket:
        raise NotImplementedError

    async def start(self, command: Command, stdio: Stdio, *, like: Process | None = None) -> Process:
        raise NotImplementedError

    async def destroy(self) -> None:
        raise NotImplementedError

    async def ended(self) -> None:
        raise NotImplementedError


@asynccontextmanager
async def server(answer: bytes, *, wait: float = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers each connection with the same bytes; gives its port and the heads that it got."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(wait)
        writer.write(answer)
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1], heads


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def said(answers: Sequence[str], *, eager: bool = False, **probe: Any) -> list[Verdict]:
    """The verdicts over a sequence of answers: empty text is success."""
    left = list(answers)

    async def ask() -> None:
        if words := left.pop(0):
            raise Failure(words)

    found = []
    async with aclosing(verdicts(Probe(period_seconds=0, **probe), ask, eager=eager)) as judged:
        while left:
            found.append(await anext(judged))
    return found


async def test_thresholds_are_counted_in_a_row() -> None:
    """Three failures in a row settle; one success begins anew."""
    assert [(v.healthy, v.settled) for v in await said(["x", "x", "", "x", "x", "x", "x", ""])] == [
        (False, False),
        (False, False),
        (True, True),
        (False, False),
        (False, False),
        (False, True),
        (False, True),
        (True, True),
    ]


async def test_success_may_need_several_answers() -> None:
    """successThreshold of readiness probes."""
    judged = await said(["", "", "x", "", ""], success_threshold=2, failure_threshold=1)
    assert [verdict.settled for verdict in judged] == [False, True, True, False, True]


async def test_an_http_probe_takes_any_code_below_400() -> None:
    """With the headers that were asked for, and the kubelet's own name otherwise."""
    async with server(b"HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhi") as (port, heads):
        get = HttpGet(port=port, path="ready", headers=())
        answer = await fetch.get(Loopback(), get, port, timeout=5)
    assert (answer.code, answer.body) == (302, b"hi")
    assert heads[0].startswith(b"GET /ready HTTP/1.1\r\n")
    assert b"user-agent: kube-probe/" in heads[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 No\r\n\r\n", "HTTP probe failed with statuscode: 503"),
        (b"hello\r\n\r\n", "malformed HTTP response"),
        (b"", "EOF"),
    ],
)
async def test_what_a_failed_http_probe_says(answer: bytes, words: str) -> None:
    """The words of the event Unhealthy."""
    async with server(answer) as (port, _):
        probe = Probe(http_get=HttpGet(port="web"), timeout_seconds=5)
        [container] = pod(
            {"containers": [{"name": "m", "ports": [{"name": "web", "containerPort": port}]}]}
        ).spec.containers
        with pytest.raises(Failure, match=words):
            await check(probe, container, Loopback(), _no_exec)()


async def test_a_slow_server_is_a_deadline() -> None:
    """And a closed port is refused."""
    async with server(b"", wait=5) as (port, _):
        with pytest.raises(TimeoutError, match="context deadline exceeded"):
            await fetch.get(Loopback(), HttpGet(port=port), port, timeout=0.1)
    with pytest.raises(OSError, match="connect: connection refused"):
        await fetch.get(Loopback(), HttpGet(port=1), closed_port(), timeout=1)


async def _no_exec(_argv: tuple[str, ...], _timeout: float) -> tuple[int, bytes]:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("service", "words"), [("", ""), ("good", ""), ("bad", "service unhealthy"), ("none", "status 5")]
)
async def test_grpc_health(service: str, words: str) -> None:
    """Asked of a server of another make (grpcio)."""
    grpc = pytest.importorskip("grpc")

    async def answer(request: bytes, context: Any) -> bytes:
        name = request[2:].decode()
        if name == "none":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown")
        return b"\x08\x02" if name == "bad" else b"\x08\x01"

    health = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(answer)}
    )
    served = grpc.aio.server()
    served.add_generic_rpc_handlers((health,))
    port = served.add_insecure_port("127.0.0.1:0")
    await served.start()
    try:
        asking = grpc_health.check(Loopback(), port, service, timeout=5)
        if words:
            with pytest.raises(OSError, match=words):
                await asking
        else:
            await asking
    finally:
        await served.stop(None)


async def test_grpc_health_of_something_else() -> None:
    """A server that does not speak gRPC fails the probe, with a reason."""
    async with server(struct.pack(">I", 42) * 10) as (port, _):
        with pytest.raises(OSError, match="error"):
            await grpc_health.check(Loopback(), port, "", timeout=2)
