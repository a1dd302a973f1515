"""One HTTP GET into a pod, as probes and hooks make them.

Source: Kubernetes, kubelet HTTP probes: any code from 200 to 399 is success, certificates are not checked.
"""

import asyncio
import os
import socket
import ssl

from msgspec import Struct

from linnet.local.node.container_spec import HttpGet
from linnet.local.node.runtime import Sandbox

_BODY = 10 * 2**10  # bytes of an answer that are read
AGENT = "kube-probe/1.35"


class Answer(Struct, frozen=True):
    """Status code and the beginning of the body."""

    code: int
    body: bytes


async def get(sandbox: Sandbox, request: HttpGet, port: int, *, timeout: float, agent: str = AGENT) -> Answer:
    """The answer. Raises OSError or TimeoutError with the kubelet's words."""
    host = request.host or sandbox.ip
    scheme = request.scheme.lower()
    url = f"{scheme}://{host}:{port}{request.path if request.path.startswith('/') else '/' + request.path}"
    try:
        async with asyncio.timeout(timeout):
            connection = await dial(sandbox, host, port, timeout)
            tls = _unverified() if scheme == "https" else None
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=tls, server_hostname="" if tls else None
            )
            try:
                writer.write(_head(request, host, port, agent))
                return await _answer(reader)
            finally:
                writer.close()
    except TimeoutError as error:
        raise TimeoutError(f'Get "{url}": context deadline exceeded') from error
    except (OSError, ValueError, EOFError) as error:
        raise ConnectionError(f'Get "{url}": {str(error) or "EOF"}') from error


async def dial(sandbox: Sandbox, host: str, port: int, timeout: float) -> socket.socket:
    """A connection into the pod. Raises OSError in the words of the kubelet."""
    try:
        return await sandbox.connect(port, host=host, timeout=timeout)
    except ConnectionRefusedError as error:
        raise ConnectionRefusedError(f"dial tcp {host}:{port}: connect: connection refused") from error
    except TimeoutError as error:
        raise TimeoutError(f"dial tcp {host}:{port}: i/o timeout") from error
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ConnectionError(f"dial tcp {host}:{port}: connect: {why}") from error


def _head(request: HttpGet, host: str, port: int, agent: str) -> bytes:
    headers = {"host": f"{host}:{port}", "user-agent": agent, "accept": "*/*", "connection": "close"}
    headers |= {header.name.lower(): header.value for header in request.headers}
    path = request.path if request.path.startswith("/") else f"/{request.path}"
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    line = await reader.readline()
    if not line:
        raise EOFError
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/") or not rest[:3].isdigit():
        raise ValueError(f"malformed HTTP response {line[:40]!r}")
    length = _BODY
    while (header := await reader.readline()).strip():
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"content-length":
            length = min(_BODY, int(value))
    body = b""
    while len(body) < length and (chunk := await reader.read(length - len(body))):
        body += chunk
    return Answer(int(rest[:3]), body)


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
