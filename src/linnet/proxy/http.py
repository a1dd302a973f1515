"""The little HTTP/1.1 that an agent needs: ask Envoy and the application, answer the kubelet and Prometheus.

Small on purpose: an agent is beside every Envoy, and an HTTP framework would be larger than all the rest.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

HEAD_LIMIT = 64 * 1024  # bytes of a request's or response's head
IDLE = 75.0  # seconds that a quiet connection is kept


class BadMessage(OSError):
    """The peer does not speak HTTP/1.1."""


class Request(Struct, frozen=True):
    """A request without a body. `peer` is the caller's IP address; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    raw_query: str
    headers: Mapping[str, str]
    peer: str


class Response(Struct, frozen=True):
    """A response; header names are lower case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


Handler = Callable[[Request], Awaitable[Response]]


async def ask(
    sock: socket.socket,
    method: str,
    target: str,
    *,
    host: str,
    headers: Mapping[str, str] | None = None,
    timeout: float,
    limit: int = 64 * 2**20,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """The response to one request on a fresh connection, which is closed afterwards.

    `timeout` is in seconds; at most `limit` bytes of the body are kept. Raises OSError, TimeoutError.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(
            sock=sock, limit=HEAD_LIMIT, ssl=tls, server_hostname=host.partition(":")[0] if tls else None
        )
        try:
            sent = {"host": host, "connection": "close"} | {k.lower(): v for k, v in (headers or {}).items()}
            lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
            if method == "POST":
                lines.append("content-length: 0")
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            start, received = await _head(reader)
            version, _, rest = start.partition(" ")
            if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
                raise BadMessage(f"not an HTTP response: {start[:80]!r}")
            return Response(int(rest[:3]), await _body(reader, received, limit), received)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise BadMessage(f"the response to {method} {target} broke off") from error
        except ValueError as error:  # lengths that are no numbers
            raise BadMessage(f"the response to {method} {target} is not HTTP: {error}") from error
        finally:
            writer.close()


@asynccontextmanager
async def serving(sock: socket.socket, handler: Handler) -> AsyncIterator[None]:
    """Serve on a listening socket, with keep-alive, while the context lasts; then cut what is open."""
    open_connections: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _answer(reader, writer, handler):
                pass
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the caller went away or does not speak HTTP: nobody is left to tell
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not server.is_serving():  # accepted while the context ended
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(connection(reader, writer), name="http-connection")
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)

    server = await asyncio.start_server(accepted, sock=sock, limit=HEAD_LIMIT)
    try:
        yield
    finally:
        server.close()
        for task in open_connections:
            task.cancel()
        if open_connections:
            await asyncio.wait(set(open_connections))


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> bool:
    """Answer one request; whether the connection stays."""
    async with asyncio.timeout(IDLE):
        start, headers = await _head(reader)
    method, _, rest = start.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/1."):
        raise BadMessage(f"not an HTTP request: {start[:80]!r}")
    if length := int(headers.get("content-length") or 0):
        await reader.readexactly(min(length, HEAD_LIMIT))
    url = urlsplit(target)
    peer = writer.get_extra_info("peername")
    response = await handler(
        Request(method, url.path, dict(parse_qsl(url.query)), url.query, headers, peer[0] if peer else "")
    )
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    sent = dict(response.headers) | {"content-length": str(len(response.body))}
    if not keep:
        sent["connection"] = "close"
    lines = [
        f"HTTP/1.1 {response.status} {_reason(response.status)}",
        *(f"{k}: {v}" for k, v in sent.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + response.body)
    await writer.drain()
    return keep


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The first line and the headers of a message."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = text[:-4].split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return start, headers


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str], limit: int) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader, limit)
    if "content-length" in headers:
        return await reader.readexactly(min(int(headers["content-length"]), limit))
    return await reader.read(limit) if limit else b""


async def _chunks(reader: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            break
        body += (await reader.readexactly(size + 2))[:-2]
    return bytes(body[:limit])


def _reason(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
