"""The agent's little HTTP: what it answers, what it asks, and what it makes of rubbish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from linnet.proxy.beside import Beside
from linnet.proxy.http import BadMessage, Request, Response, ask, serving

pytestmark = pytest.mark.wired


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """A server that tells what it was asked."""

    async def handle(request: Request) -> Response:
        said = f"{request.method} {request.path} {dict(request.query)} {request.peer}"
        return Response(200, said.encode(), {"x-a": request.headers.get("x-a", "")})

    sock = Beside().listen(0, host="127.0.0.1")
    port = sock.getsockname()[1]
    async with serving(sock, handle):
        yield port


@asynccontextmanager
async def answering(text: bytes) -> AsyncIterator[int]:
    """A server that sends these bytes to everybody and closes."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def get(port: int, target: str = "/", **more: object) -> Response:
    sock = await Beside().connect(port)
    return await ask(sock, "GET", target, host="a", timeout=2.0, **more)


async def test_a_request_arrives_whole():
    """Path, query, headers and caller."""
    async with served() as port:
        answer = await get(port, "/x/y?grace=30", headers={"X-A": "1"})
    assert answer.body == b"GET /x/y {'grace': '30'} 127.0.0.1"
    assert answer.headers["x-a"] == "1"


async def test_a_connection_is_kept():
    """Two requests, one connection; a body that nobody wants is skipped."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /1 HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nconnection: close\r\n\r\n"
        )
        said = (await reader.read()).decode()
        writer.close()
    assert said.count("HTTP/1.1 200 OK") == 2
    assert said.index("POST /1") < said.index("GET /2")


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"a" * 70_000,
    ],
    ids=["tls", "no-version", "no-length", "endless"],
)
async def test_rubbish_ends_its_connection_and_nothing_else(rubbish):
    """The connection is closed; the next caller is served."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rubbish)
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
        assert (await get(port)).status == 200


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x\r\nk\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nok", b"ok"),
    ],
    ids=["length", "chunked", "until-close"],
)
async def test_bodies_are_read_to_their_end(sent, body):
    """However their end is marked."""
    async with answering(sent) as port:
        assert (await get(port)).body == body


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["nothing", "other", "cut", "no-length", "no-chunk"],
)
async def test_an_answer_that_is_not_http_is_an_error(sent):
    """And says so; it is an OSError, as every failure of the world."""
    async with answering(sent) as port:
        with pytest.raises(BadMessage):
            await get(port)


async def test_long_answers_are_cut_where_the_caller_says():
    """At most `limit` bytes."""
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789") as port:
        assert (await get(port, limit=4)).body == b"0123"
