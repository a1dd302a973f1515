"""Servers that fail on purpose: each request or stream is answered with the next behaviour of a script."""

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from linnet.local.workloads import frames, load
from linnet.local.workloads.aims import Pace, aim
from linnet.local.workloads.call import Call
from linnet.local.workloads.frames import Code, message
from linnet.local.workloads.http1 import POD_HEADER, VERSION_HEADER, read_head
from linnet.local.workloads.http2 import Http2
from linnet.local.workloads.record import Record
from linnet.local.workloads.websocket import Closed, Op, WebSocket, accept, frame

OK = b"HTTP/1.1 200 OK\r\nx-linnet-pod: web-1\r\nx-linnet-version: v2\r\ncontent-length: 2\r\n"
WHO = ((POD_HEADER, "web-1"), (VERSION_HEADER, "v2"))


class Server:
    """Behaves as its script says, one behaviour for each request or stream, then well for ever."""

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.connections = 0
        self.requests = 0
        self.port = 0

    def next(self) -> str:
        """What the next request or stream gets."""
        self.requests += 1
        return self.script.pop(0) if self.script else "ok"

    async def connection(self, reader, writer) -> None:
        """One connection, to its end."""
        raise NotImplementedError


class Http1(Server):
    """HTTP/1.1."""

    async def connection(self, reader, writer) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            if not await self.behave(self.next(), writer):
                return

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
                abort(writer)
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


class Second(Server):
    """HTTP/2 and gRPC. Behaviours of streams come after their first message."""

    async def connection(self, reader, writer) -> None:
        await reader.readexactly(len(frames.PREFACE))

        async def answer(call: Call) -> None:
            behaviour = self.next()
            if call.headers.get("content-type") == "application/grpc":
                await self.grpc(behaviour, call, held, writer)
            else:
                await self.behave(behaviour, call, held, writer)

        held = Http2(reader, writer, answer)
        await held.run()

    async def behave(self, behaviour: str, call: Call, held: Http2, writer) -> None:
        number = max(held.calls)
        match behaviour:
            case "ok" | "goaway":
                if behaviour == "goaway":
                    held.warn()
                call.send_headers([(":status", "200"), ("content-length", "2"), *WHO])
                await call.send(b"ok", end=True)
            case "unavailable":
                call.send_headers([(":status", "503"), *WHO])
                await call.send(b"full", end=True)
            case "truncated":
                call.send_headers([(":status", "200"), ("content-length", "9"), *WHO])
                await call.send(b"ok", end=True)
            case "half":
                call.send_headers([(":status", "200"), ("content-length", "9"), *WHO])
                await call.send(b"ok")
                writer.close()
            case "rubbish":
                writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
                writer.close()
            case "late goaway":
                held.warn(number - 2)
                writer.close()
            case _:
                await self.break_off(behaviour, number, writer)

    async def break_off(self, behaviour: str, number: int, writer) -> None:
        match behaviour:
            case "close":
                writer.close()
            case "reset":
                abort(writer)
            case "stream reset":
                writer.write(frames.reset(number, Code.INTERNAL_ERROR))
            case "silent":
                await asyncio.sleep(60)

    async def grpc(self, behaviour: str, call: Call, held: Http2, writer) -> None:
        number = max(held.calls)
        if behaviour == "refused":
            call.send_headers(
                [(":status", "200"), ("grpc-status", "14"), ("grpc-message", "full"), *WHO], end=True
            )
            return
        if behaviour == "unavailable":
            call.send_headers([(":status", "503"), *WHO], end=True)
            return
        call.send_headers([(":status", "200"), ("content-type", "application/grpc"), *WHO])
        while data := await call.read():
            match behaviour:
                case "ok" | "status 14" | "status":
                    await call.send(data)
                case "partial":
                    await call.send(data[:-1], end=True)
                    return
                case "goaway":
                    await call.send(data)
                    held.warn()
                    behaviour = "ok"
                case "goaway and close":
                    held.warn()
                    writer.close()
                case "wrong":
                    await call.send(message(b"what"))
                case "no status":
                    await call.send(data, end=True)
                    return
                case _:
                    await self.break_off(behaviour, number, writer)
                    return
            if behaviour in ("status", "status 14"):
                break
        code = "14" if behaviour == "status 14" else "0"
        call.send_headers([("grpc-status", code), ("grpc-message", "full")], end=True)


class Web(Server):
    """WebSockets."""

    async def connection(self, reader, writer) -> None:
        _, headers = await read_head(reader)
        behaviour = self.next()
        if behaviour == "unavailable":
            writer.write(b"HTTP/1.1 503 X\r\nx-linnet-pod: web-1\r\ncontent-length: 0\r\n\r\n")
            return
        key = accept(headers["sec-websocket-key"] if behaviour != "other key" else "another")
        head = f"HTTP/1.1 101 X\r\nx-linnet-pod: web-1\r\nx-linnet-version: v2\r\nsec-websocket-accept: {key}"
        writer.write(f"{head}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n".encode())
        held = WebSocket(reader, writer, client=False)
        while not isinstance(text := await held.receive(), Closed):
            match behaviour:
                case "ok":
                    await held.send(text)
                case "close frame":
                    await held.send(text)
                    await held.close(1001, "going")
                case "fin":
                    return
                case "half":
                    writer.write(frame(Op.TEXT, b"a long message")[:5])
                    return
                case "reset":
                    abort(writer)
                    return
                case "wrong":
                    await held.send("what")
                case "silent":
                    pass


class Bytes(Server):
    """TCP."""

    async def connection(self, reader, writer) -> None:
        assert await reader.readline() == b"linnet\n"
        behaviour = self.next()
        if behaviour == "rubbish":
            writer.write(b"220 mail.example.test\n")
            return
        writer.write(b"pod web-1 v2\n")
        while line := await reader.readline():
            match behaviour:
                case "ok" | "bye":
                    writer.write(line)
                    if behaviour == "bye":
                        writer.write(b"bye\n")
                case "bye and fin":
                    writer.write(b"bye\n")
                    return
                case "fin":
                    return
                case "half":
                    writer.write(line[:-1])
                    return
                case "reset":
                    abort(writer)
                    return
                case "wrong":
                    writer.write(b"what\n")
                case "silent":
                    pass


def abort(writer) -> None:
    """Close a connection by a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    """The server, on a port of its own."""
    tasks: set[asyncio.Task] = set()

    async def connection(reader, writer) -> None:
        tasks.add(asyncio.current_task())
        server.connections += 1
        try:
            await server.connection(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

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


def options(url: str, **more: object) -> argparse.Namespace:
    """A command line, read: one target; names of Pace are the pace's."""
    pace = {name: more.pop(name) for name in Pace.__struct_fields__ if name in more}
    held = Pace(**({"rate": 100.0, "connections": 1, "streams": 1, "every": 0.02} | pace))
    rest = {"duration": 0.3, "timeout": 1.0, "port": 0, "wait": 0.0, "name": "test"}
    return argparse.Namespace(**(rest | {"target": [aim(url, held)]} | more))


def patience(behaviour: str) -> float:
    """Seconds for a request: few only where nothing comes, as the machine may be slow."""
    return 0.5 if behaviour == "silent" else 10.0


async def seen(url: str, stop: asyncio.Event | None = None, say=lambda line: None, **more: object) -> Record:
    """What the client says about a target."""
    record = Record("test", datetime.now(UTC))
    await load.run(options(url, **more), record, stop or asyncio.Event(), say)
    return record
