"""HTTP/2 connections to one authority that share the calls, as a gRPC channel does, and calls over them.

A connection that was told to go (GOAWAY), or is gone, is replaced at the next call; its calls go on.
"""

import asyncio
from collections.abc import Mapping

from linnet.local.workloads import frames
from linnet.local.workloads.call import Call
from linnet.local.workloads.dial import connected
from linnet.local.workloads.frames import Messages
from linnet.local.workloads.http1 import POD_HEADER, VERSION_HEADER, Answer, Failed
from linnet.local.workloads.http2 import Http2

UNARY, TICKS, CHAT = "/linnet.Echo/Unary", "/linnet.Echo/Ticks", "/linnet.Echo/Chat"


class Channel:
    """At most `connections` to a host and port that take calls, in turn."""

    def __init__(self, host: str, port: int, authority: str, connections: int) -> None:
        self.authority = authority
        self._host, self._port = host, port
        self._held: list[Http2 | None] = [None] * max(1, connections)
        self._locks = [asyncio.Lock() for _ in self._held]
        self._turn = 0
        self._all: dict[asyncio.Task[None], Http2] = {}  # also those that take no further calls

    async def connection(self) -> Http2:
        """One that takes calls. Raises Failed."""
        self._turn = turn = (self._turn + 1) % len(self._held)
        async with self._locks[turn]:
            held = self._held[turn]
            if held is None or not held.usable:
                if held is not None and not held.busy:
                    held.close()
                held = self._held[turn] = await self._connect()
            return held

    async def close(self) -> None:
        """Close all connections and wait for their end."""
        tasks = list(self._all)
        for connection in self._all.values():
            connection.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def request(
        self, connection: Http2, method: str, path: str, more: Mapping[str, str], *, end: bool
    ) -> Call:
        """Begin a request."""
        headers = [(":method", method), (":scheme", "http"), (":path", path), (":authority", self.authority)]
        return connection.call([*headers, ("user-agent", "load"), *more.items()], end=end)

    async def _connect(self) -> Http2:
        reader, writer = await connected(self._host, self._port)
        connection = Http2(reader, writer)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._all[task] = connection
        task.add_done_callback(lambda done: self._all.pop(done, None))
        return connection


async def get(channel: Channel, path: str) -> Answer:
    """The whole response to a GET. Raises Failed."""
    call = channel.request(await channel.connection(), "GET", path, {}, end=True)
    try:
        headers = await call.first()
        body = await call.read_all()
    finally:
        call.cancel()
    status = headers.get(":status", "")
    if not status.isdecimal():
        raise Failed("malformed", f"status {status!r}")
    return Answer(int(status), dict(headers), body)


def begin(channel: Channel, connection: Http2, method: str) -> Call:
    """Begin a gRPC call."""
    more = {"content-type": "application/grpc", "te": "trailers"}
    return channel.request(connection, "POST", method, more, end=False)


async def unary(channel: Channel, method: str, content: bytes) -> Answer:
    """The answer to a gRPC call with one message each way; the body is its content. Raises Failed."""
    call = begin(channel, await channel.connection(), method)
    try:
        await call.send(frames.message(content), end=True)
        headers = await call.first()
        body = await call.read_all()
    finally:
        call.cancel()
    check(call)
    found = Messages().feed(body)
    if len(found) != 1:
        raise Failed("malformed", f"{len(found)} messages in a unary answer", headers.get(POD_HEADER, ""))
    return Answer(200, dict(headers), found[0])


def check(call: Call) -> None:
    """Raises Failed unless a gRPC call that ended has ended well."""
    pod = call.headers.get(POD_HEADER, "")
    status = call.headers.get(":status")
    if status != "200":
        raise Failed(f"status {status}", "instead of a gRPC response", pod)
    code = call.trailers.get("grpc-status", call.headers.get("grpc-status"))
    if code is None:
        raise Failed("malformed", "the stream ended without a grpc-status", pod)
    if code != "0":
        said = call.trailers.get("grpc-message", call.headers.get("grpc-message", ""))
        raise Failed(f"grpc {code}", said, pod)


def who(headers: Mapping[str, str]) -> tuple[str, str]:
    """Pod and version, out of a response's headers."""
    return headers.get(POD_HEADER, ""), headers.get(VERSION_HEADER, "")
