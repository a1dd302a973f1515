"""The load of requests at a rate that the clock gives, whatever the server's speed. Nothing is retried."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from linnet.local.workloads import channel as channels
from linnet.local.workloads.channel import Channel
from linnet.local.workloads.http1 import POD_HEADER, VERSION_HEADER, Answer, Connection, Failed, Target
from linnet.local.workloads.record import Record, Tally, describe

Ask = Callable[[], Awaitable[Answer]]  # one request; raises Failed
_AGENT = {"user-agent": "load"}


class NotMade(Exception):
    """A request that was due, and for which no connection was free until the load ended."""


class Kept:
    """HTTP/1.1 over connections that are kept; a request waits for a free one."""

    def __init__(
        self, target: Target, tally: Tally, stop: asyncio.Event, *, connections: int, timeout: float
    ) -> None:
        self._tally, self._stop, self._timeout = tally, stop, timeout
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        self._connections = [Connection(target) for _ in range(connections)]
        for connection in self._connections:
            self._free.put_nowait(connection)

    async def ask(self) -> Answer:
        """One request. Raises Failed, with the pod that answered last on the connection; NotMade."""
        if self._free.empty():
            self._tally.late += 1
        connection = await self._free.get()
        before = connection.pod
        try:
            if self._stop.is_set():
                raise NotMade
            return await connection.request(headers=_AGENT, timeout=self._timeout, keep=True)
        except Failed as error:
            error.pod = error.pod or before
            raise
        finally:
            self._free.put_nowait(connection)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()


def fresh(target: Target, timeout: float) -> Ask:
    """HTTP/1.1, each request on a connection of its own."""

    async def ask() -> Answer:
        connection = Connection(target)
        try:
            return await connection.request(headers=_AGENT, timeout=timeout, keep=False)
        finally:
            connection.close()

    return ask


def http2(channel: Channel, path: str, timeout: float) -> Ask:
    """Requests that share connections."""
    return _limited(lambda: channels.get(channel, path), timeout)


def grpc(channel: Channel, timeout: float) -> Ask:
    """Unary calls whose content comes back."""

    async def ask() -> Answer:
        content = b"load"
        answer = await channels.unary(channel, channels.UNARY, content)
        if answer.body != content:
            raise Failed("malformed", "not what was sent came back", answer.headers.get(POD_HEADER, ""))
        return answer

    return _limited(ask, timeout)


def _limited(ask: Ask, timeout: float) -> Ask:
    async def limited() -> Answer:
        try:
            async with asyncio.timeout(timeout):
                return await ask()
        except TimeoutError as error:
            raise Failed("timeout", f"no response within {timeout:g} s") from error

    return limited


class Steady:
    """One kind of request to one target, at its rate."""

    def __init__(self, ask: Ask, record: Record, tally: Tally, say: Callable[[str], None]) -> None:
        self._ask, self._record, self._tally, self._say = ask, record, tally, say

    async def run(self, rate: float, stop: asyncio.Event) -> None:
        """Begin `rate` requests a second until `stop`; those under way are finished.

        Those that still wait for a connection then were never made.
        """
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        async with asyncio.TaskGroup() as requests:
            while not stop.is_set():
                due = start + sent / rate
                if (early := due - loop.time()) > 0 and await stopped(stop, early):
                    break
                sent += 1
                requests.create_task(self._once())

    async def _once(self) -> None:
        loop = asyncio.get_running_loop()
        began, moment = loop.time(), datetime.now(UTC)
        try:
            answer = await self._ask()
            pod = answer.headers.get(POD_HEADER, "")
            if answer.status >= 400:
                said = answer.body[:200].decode(errors="replace").strip()
                raise Failed(f"status {answer.status}", said, pod)
        except Failed as error:
            after = loop.time() - began
            failure = self._record.fail(self._tally, moment, error.kind, error.detail, error.pod, after=after)
            self._say(describe(failure))
            return
        except NotMade:
            return
        version = answer.headers.get(VERSION_HEADER, "")
        self._tally.good(loop.time(), loop.time() - began, pod, version)


async def stopped(stop: asyncio.Event, seconds: float | None) -> bool:
    """Wait so long, None: for ever; whether `stop` was set meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
