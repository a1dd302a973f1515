"""Calls to webhooks: HTTPS POST over a dialled socket, with the errors in Go's words.

A connection that the server keeps open is used again for the next call to the same place.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from linnet.local.api.hookmatching import Lookup

Json = dict[str, Any]
Dial = Callable[[str, int], Awaitable[socket.socket]]

_MOST_HEADERS = 64 * 1024
_DEFAULT_PORT = 443
_UNTRUSTED = frozenset([2, 18, 19, 20, 21])  # OpenSSL's codes for a missing or self-signed issuer
_BAD_NAME = frozenset([62, 64])


class CallFailed(Exception):
    """A call without an answer; the text is Go's."""


class Answer(NamedTuple):
    """What the webhook answered."""

    status: int
    content_type: str
    body: bytes


class Target(NamedTuple):
    """Where a webhook is: `url` is what errors name."""

    url: str
    host: str  # an IP address or name to connect to
    port: int
    server_name: str  # for SNI, verification and the Host header
    path: str
    in_cluster: bool  # reached through the pod network


class _Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def plain_dial(host: str, port: int) -> socket.socket:
    """A TCP connection from this process. Raises: OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    connection = socket.socket(family, kind, protocol)
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def target(client: Json, seconds: int, lookup: Lookup) -> Target:
    """Where a `clientConfig` points to. Raises: CallFailed if its Service cannot be found."""
    query = f"timeout={seconds}s"
    if given := client.get("url"):
        parts = urlsplit(given)
        path = parts.path or "/"
        joined = f"{parts.query}&{query}" if parts.query else query
        host = parts.hostname or ""
        url = f"{parts.scheme}://{parts.netloc}{parts.path}?{joined}"
        return Target(url, host, parts.port or _DEFAULT_PORT, host, f"{path}?{joined}", in_cluster=False)
    service = client["service"]
    namespace, name, port = service["namespace"], service["name"], service.get("port") or _DEFAULT_PORT
    path = service.get("path") or "/"
    server_name = f"{name}.{namespace}.svc"
    url = f"https://{server_name}:{port}{path}?{query}"
    address = _cluster_address(lookup("services", namespace, name), name, port, url)
    return Target(url, address, port, server_name, f"{path}?{query}", in_cluster=True)


def _cluster_address(service: Json | None, name: str, port: int, url: str) -> str:
    if service is None:
        raise CallFailed(f'Post "{url}": service "{name}" not found')
    spec = service.get("spec") or {}
    if not any(entry.get("port") == port for entry in spec.get("ports") or ()):
        raise CallFailed(f'Post "{url}": no service port {port} found for service "{name}"')
    address: str = spec.get("clusterIP") or ""
    if address in ("", "None"):
        raise CallFailed(f'Post "{url}": no endpoints available for service "{name}"')
    return address


def context(ca_bundle: str) -> ssl.SSLContext:
    """The TLS settings that trust a base64 PEM bundle, or the system's authorities where there is none.

    Raises: CallFailed for a bundle that is no PEM.
    """
    if not ca_bundle:
        return ssl.create_default_context()
    try:
        pem = base64.b64decode(ca_bundle).decode()
        return ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError, binascii.Error) as error:
        raise CallFailed(
            "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block"
        ) from error


class Caller:
    """Calls webhooks and keeps idle connections. `close` it."""

    def __init__(self, dial: Dial | None) -> None:
        self._dial = dial
        self._idle: dict[tuple[Target, str], _Connection] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def post(self, where: Target, ca_bundle: str, body: bytes, seconds: float) -> Answer:
        """The answer to a POST. Raises: CallFailed, also after `seconds`."""
        settings = self._contexts.get(ca_bundle)
        if settings is None:
            settings = self._contexts[ca_bundle] = context(ca_bundle)
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(where, ca_bundle, settings, body)
        except TimeoutError as error:
            raise CallFailed(f'Post "{where.url}": context deadline exceeded') from error
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
            raise CallFailed(f'Post "{where.url}": {_reworded(error, where)}') from error

    async def _exchange(self, where: Target, ca_bundle: str, settings: ssl.SSLContext, body: bytes) -> Answer:
        kept = self._idle.pop((where, ca_bundle), None)
        if kept is not None and not kept.reader.at_eof():
            try:
                return await self._send(where, ca_bundle, kept, body)
            except (ConnectionError, EOFError):
                kept.writer.close()  # the server closed it between two calls: once more on a new one
        connection = await self._connect(where, settings)
        return await self._send(where, ca_bundle, connection, body)

    async def _connect(self, where: Target, settings: ssl.SSLContext) -> _Connection:
        dial = self._dial if self._dial is not None and where.in_cluster else plain_dial
        opened = await dial(where.host, where.port)
        try:
            reader, writer = await asyncio.open_connection(
                sock=opened, ssl=settings, server_hostname=where.server_name, limit=_MOST_HEADERS
            )
        except BaseException:
            opened.close()
            raise
        return _Connection(reader, writer)

    async def _send(self, where: Target, ca_bundle: str, connection: _Connection, body: bytes) -> Answer:
        reader, writer = connection
        head = (
            f"POST {where.path} HTTP/1.1\r\nHost: {where.server_name}:{where.port}\r\n"
            "User-Agent: kube-apiserver-admission\r\nAccept: application/json, */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        keep = False
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            answer, keep = await _read(reader)
        finally:
            if keep:
                self._idle[where, ca_bundle] = connection
            else:
                writer.close()
        return answer

    async def close(self) -> None:
        """Close idle connections."""
        for connection in self._idle.values():
            connection.writer.close()
        self._idle.clear()


async def _read(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    """An HTTP answer, and whether the connection can be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.split("\r\n")
    version, code, *_ = status_line.split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(reader)
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body, keep = await reader.read(), False
    return Answer(int(code), headers.get("content-type", ""), body), keep


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
        pass
    return b"".join(parts)


def _reworded(error: Exception, where: Target) -> str:
    """An error of the connection as Go says it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_certificate_problem(error, where)}"
    if isinstance(error, ssl.SSLError):
        return f"remote error: tls: {error.reason or error}"
    if isinstance(error, EOFError):
        return "EOF"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {where.host}: no such host"
    if isinstance(error, OSError):
        number = error.errno or errno.EIO
        if isinstance(error, ConnectionResetError | BrokenPipeError):
            return f"read tcp {where.host}:{where.port}: read: connection reset by peer"
        return f"dial tcp {where.host}:{where.port}: connect: {os.strerror(number).lower()}"
    return f"net/http: HTTP/1.x transport connection broken: {error}"


def _certificate_problem(error: ssl.SSLCertVerificationError, where: Target) -> str:
    if error.verify_code in _UNTRUSTED:
        return "certificate signed by unknown authority"
    if error.verify_code in _BAD_NAME:
        return f"certificate is not valid for any names, but wanted to match {where.server_name}"
    return error.verify_message
