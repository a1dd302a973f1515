"""echo: a server that says who answered and who asked, and sends back what it is sent.

    GET /any/path[?delay=SECONDS][&status=CODE][&size=BYTES]     a JSON report, late, with that status or size
    GET /healthz                                                 200, or 503 once it is ending

HTTP/1.1, HTTP/2 with prior knowledge, gRPC and WebSockets on the same ports; bytes on a TCP port.
With `--upstream URL` a request makes one there too and its answer is part of the report (502 if it fails).
On SIGTERM long streams are told that they end (close frame, GOAWAY and status, `bye` on TCP to who began with
`linnet`); it serves on with `connection: close` for a moment, then ends when nobody is connected.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from linnet.local.workloads.answers import Answers
from linnet.local.workloads.http1 import (
    HEAD_LIMIT,
    POD_HEADER,
    VERSION_HEADER,
    Failed,
    read_body,
    read_head,
)
from linnet.local.workloads.tcp import BYE, HELLO
from linnet.local.workloads.websocket import Closed, WebSocket, accept

_GOING_AWAY = 1001  # of WebSockets


class Echo:
    """The server's state: who is connected, and who of them is being answered."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self._open: dict[asyncio.StreamWriter, bool] = {}  # True while a request is being answered
        self._closed = asyncio.Event()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one HTTP connection."""
        self._open[writer] = False
        try:
            while await self._one(reader, writer):
                self._open[writer] = False
        except (OSError, ValueError, Failed, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the peer went away or does not speak HTTP
        finally:
            self._gone(writer)

    async def tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send back every byte of one connection; who begins with `linnet` learns who and when it ends."""
        self._open[writer] = True
        bye: asyncio.Task[None] | None = None
        try:
            while data := await reader.read(65536):
                if bye is None and data.startswith(HELLO):
                    data = f"pod {self.answers.pod} {self.answers.version}\n".encode() + data[len(HELLO) :]
                    bye = asyncio.get_running_loop().create_task(self._bye(writer))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the peer went away
        finally:
            if bye is not None:
                bye.cancel()
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

    async def _bye(self, writer: asyncio.StreamWriter) -> None:
        await self.answers.ending.wait()
        writer.write(BYE)

    def _gone(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        self._open.pop(writer, None)
        self._closed.set()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays."""
        start, headers = await read_head(reader)
        self._open[writer] = True
        method, target, version = start.split(" ", 2)
        if method == "PRI":
            from linnet.local.workloads import echo_http2  # its tables cost memory that few need

            await reader.readexactly(6)
            await echo_http2.serve(self.answers, reader, writer, b"")
            return False
        if headers.get("upgrade", "").lower() == "websocket":
            await self._websocket(reader, writer, headers)
            return False
        body = await read_body(reader, headers, until_end=False)
        status, content = await self.answers.answer(method, target, headers, len(body))
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        keep = keep and not self.answers.ending.is_set()
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n{self._who()}"
            f"{'' if keep else 'connection: close' + chr(13) + chr(10)}\r\n"
        )
        writer.write(head.encode("latin-1") + (b"" if method == "HEAD" else content))
        await writer.drain()
        return keep

    async def _websocket(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]
    ) -> None:
        """Send back every message of a WebSocket, until either side closes it."""
        key = accept(headers.get("sec-websocket-key", ""))
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-accept: {key}\r\n{self._who()}\r\n"
        )
        writer.write(head.encode("latin-1"))
        socket = WebSocket(reader, writer, client=False)

        async def end() -> None:
            await self.answers.ending.wait()
            try:
                await socket.close(_GOING_AWAY, "ending")
            except Failed:
                pass  # whoever reads notices

        ending = asyncio.get_running_loop().create_task(end())
        try:
            while not isinstance(said := await socket.receive(), Closed):
                await socket.send(said)
        finally:
            ending.cancel()

    def _who(self) -> str:
        return f"{POD_HEADER}: {self.answers.pod}\r\n{VERSION_HEADER}: {self.answers.version}\r\n"


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then end in order."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    answers = Answers(options.name, options.version, options.pod, upstream=options.upstream)
    echo = Echo(answers)
    servers = [
        await asyncio.start_server(echo.http, "0.0.0.0", port, limit=HEAD_LIMIT) for port in options.port
    ]
    if options.tcp_port:
        servers.append(await asyncio.start_server(echo.tcp, "0.0.0.0", options.tcp_port))
    ports = ",".join(str(port) for port in options.port)
    sys.stdout.write(
        f"echo: {answers.name} {answers.version} listens on {ports}, tcp {options.tcp_port or '-'}\n"
    )
    sys.stdout.flush()
    await stop.wait()
    started = time.monotonic()
    answers.ending.set()
    await asyncio.sleep(options.linger)
    for server in servers:
        server.close()
    await echo.end(options.grace)
    sys.stdout.write(f"echo: ended after {answers.requests} requests, {time.monotonic() - started:.1f} s\n")
    sys.stdout.flush()


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; the environment is not read but for the pod's name, which Kubernetes puts there."""
    pod = os.environ.get("POD_NAME") or socket.gethostname()
    parser = argparse.ArgumentParser(prog="echo", description=(__doc__ or "").partition("\n")[0])
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
