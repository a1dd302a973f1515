"""echo: a small HTTP/1.1 server that says who answered and who asked; also echoes bytes on a TCP port.

    GET /any/path[?delay=SECONDS][&status=CODE][&size=BYTES]     a JSON report, late, with that status or size
    GET /healthz                                                 200, or 503 once it is ending

With `--upstream URL` a request makes one there too and its answer is part of the report (502 if it fails).
On SIGTERM it serves on with `connection: close` for a moment, then ends when nobody is connected.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl

from linnet.local.workloads.http1 import (
    HEAD_LIMIT,
    POD_HEADER,
    VERSION_HEADER,
    Connection,
    Failed,
    Target,
    read_body,
    read_head,
)

_PASSED_ON = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "b3",
)


class Echo:
    """The server's state: who it is, who is connected, whether it is ending."""

    def __init__(
        self, name: str, version: str, pod: str, *, upstream: str = "", timeout: float = 15.0
    ) -> None:
        self.name, self.version, self.pod = name, version, pod
        self.ending = False
        self.requests = 0
        self._timeout = timeout
        self._upstream = Target(upstream) if upstream else None
        self._kept: list[Connection] = []
        self._open: dict[asyncio.StreamWriter, bool] = {}  # True while a request is being answered
        self._closed = asyncio.Event()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one HTTP connection."""
        self._open[writer] = False
        try:
            while await self._one(reader, writer):
                self._open[writer] = False
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the peer went away or does not speak HTTP
        finally:
            self._gone(writer)

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send back every byte of one connection."""
        self._open[writer] = True
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the peer went away
        finally:
            self._gone(writer)

    async def end(self, limit: float) -> None:
        """Close what is idle, and return when nobody is connected, at most after `limit` seconds."""
        for writer, busy in list(self._open.items()):
            if not busy:
                writer.close()
        try:
            async with asyncio.timeout(limit):
                while self._open:
                    self._closed.clear()
                    await self._closed.wait()
        except TimeoutError:
            sys.stdout.write(f"echo: {len(self._open)} connections were left\n")

    def _gone(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        self._open.pop(writer, None)
        self._closed.set()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays."""
        start, headers = await read_head(reader)
        self._open[writer] = True
        method, target, version = start.split(" ", 2)
        body = await read_body(reader, headers, until_end=False)
        path, _, raw_query = target.partition("?")
        query = dict(parse_qsl(raw_query))
        status, content = await self._answer(method, path, query, headers, len(body))
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close" and not self.ending
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n{POD_HEADER}: {self.pod}\r\n"
            f"{VERSION_HEADER}: {self.version}\r\n"
            f"{'' if keep else 'connection: close' + chr(13) + chr(10)}\r\n"
        )
        writer.write(head.encode("latin-1") + (b"" if method == "HEAD" else content))
        await writer.drain()
        return keep

    async def _answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], received: int
    ) -> tuple[int, bytes]:
        if path == "/healthz":
            return (503, b"ending\n") if self.ending else (200, b"ok\n")
        self.requests += 1
        try:
            delay, status, size = (float(query.get(name, 0)) for name in ("delay", "status", "size"))
        except ValueError as error:
            return 400, f"delay, status and size are numbers: {error}\n".encode()
        await asyncio.sleep(delay)
        report: dict[str, object] = {
            "service": self.name,
            "version": self.version,
            "pod": self.pod,
            "method": method,
            "path": path,
            "received": received,
            "identity": client_identity(headers.get("x-forwarded-client-cert", "")),
            "headers": dict(headers),
        }
        code = int(status) or 200
        if self._upstream:
            code = await self._ask_upstream(headers, report, code)
        content = json.dumps(report).encode() + b"\n"
        return code, content + b"." * max(0, int(size) - len(content))

    async def _ask_upstream(self, headers: Mapping[str, str], report: dict[str, object], status: int) -> int:
        assert self._upstream is not None
        connection = self._kept.pop() if self._kept else Connection(self._upstream)
        passed = {name: headers[name] for name in _PASSED_ON if name in headers}
        try:
            answer = await connection.request(headers=passed, timeout=self._timeout)
        except Failed as error:
            report["upstream"] = {"url": self._upstream.url, "error": f"{error.kind}: {error.detail}"}
            return 502
        self._kept.append(connection)
        said: object = answer.body.decode(errors="replace")
        try:
            said = json.loads(answer.body)
        except ValueError:
            pass  # not one of us: its words as they are
        report["upstream"] = {"url": self._upstream.url, "status": answer.status, "answer": said}
        return status if answer.status < 400 else answer.status


def client_identity(header: str) -> str:
    """The caller's SPIFFE ID in an `x-forwarded-client-cert` header: the URI of the last element."""
    for part in header.rpartition(",")[2].split(";"):
        name, _, value = part.partition("=")
        if name.strip().upper() == "URI":
            return value.strip().strip('"')
    return ""


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then end in order."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    echo = Echo(options.name, options.version, options.pod, upstream=options.upstream)
    servers = [
        await asyncio.start_server(echo.http, "0.0.0.0", port, limit=HEAD_LIMIT) for port in options.port
    ]
    if options.tcp_port:
        servers.append(await asyncio.start_server(echo.tcp, "0.0.0.0", options.tcp_port))
    ports = ",".join(str(port) for port in options.port)
    sys.stdout.write(f"echo: {echo.name} {echo.version} listens on {ports}, tcp {options.tcp_port or '-'}\n")
    sys.stdout.flush()
    await stop.wait()
    started = time.monotonic()
    echo.ending = True
    await asyncio.sleep(options.linger)
    for server in servers:
        server.close()
    await echo.end(options.grace)
    sys.stdout.write(f"echo: ended after {echo.requests} requests, {time.monotonic() - started:.1f} s\n")
    sys.stdout.flush()


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; the environment is not read but for the pod's name, which Kubernetes puts there."""
    pod = os.environ.get("POD_NAME") or socket.gethostname()
    parser = argparse.ArgumentParser(prog="echo", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, action="append", help="HTTP port, may be repeated (8080)")
    parser.add_argument("--tcp-port", type=int, default=9090, help="TCP echo port, 0 for none (9090)")
    parser.add_argument("--name", default="echo", help="what it calls itself")
    parser.add_argument("--version", default="v1", help="and which version of it")
    parser.add_argument("--pod", default=pod, help="the pod's name ($POD_NAME, else the host name)")
    parser.add_argument("--upstream", default="", help="URL to call for every request")
    parser.add_argument("--linger", type=float, default=1.0, help="seconds to serve on after SIGTERM")
    parser.add_argument(
        "--grace", type=float, default=20.0, help="seconds that open connections may last then"
    )
    options = parser.parse_args(list(argv))
    options.port = options.port or [8080]
    return options


def main(argv: Sequence[str]) -> int:
    """Run the server; the exit code."""
    asyncio.run(serve(arguments(argv)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
