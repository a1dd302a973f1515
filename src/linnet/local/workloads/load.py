"""load: asks at a steady rate and reports every failure: when, what kind, which pod.

    load --target http://frontend:8080/ --rate 50 --connections 4 --new-connections 5 [--duration 60]

Each target gets `--rate` requests a second over kept connections and `--new-connections` over fresh ones.
The clock decides when a request is due, not the server's speed. Nothing is retried.
The report is at http://:PORT/report (JSON) and /report.txt while it runs, and in `--report FILE` at the end.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from linnet.local.workloads.http1 import (
    HEAD_LIMIT,
    POD_HEADER,
    VERSION_HEADER,
    Connection,
    Failed,
    Target,
    read_head,
)
from linnet.local.workloads.record import Record, describe

_PATIENCE = 0.2  # seconds between attempts before the first answer
_STATED_EVERY = 10.0  # seconds between lines about progress


class Load:
    """The load on one target: kept connections, and the rate at which they and fresh ones are used."""

    def __init__(
        self, target: Target, record: Record, *, connections: int, timeout: float, say: Callable[[str], None]
    ) -> None:
        self.target, self.record, self.timeout, self.say = target, record, timeout, say
        self._tally = record.tallies[target.url]
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        self._connections = [Connection(target) for _ in range(connections)]
        for connection in self._connections:
            self._free.put_nowait(connection)

    def close(self) -> None:
        """Close the kept connections."""
        for connection in self._connections:
            connection.close()

    async def steady(self, rate: float, *, keep: bool, stop: asyncio.Event) -> None:
        """Start `rate` requests a second until `stop`; those under way are finished."""
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        async with asyncio.TaskGroup() as requests:
            while not stop.is_set():
                due = start + sent / rate
                if (early := due - loop.time()) > 0 and await _stopped(stop, early):
                    break
                sent += 1
                requests.create_task(self._kept() if keep else self._fresh())

    async def _kept(self) -> None:
        if self._free.empty():
            self._tally.late += 1
        connection = await self._free.get()
        try:
            await self._once(connection, keep=True)
        finally:
            self._free.put_nowait(connection)

    async def _fresh(self) -> None:
        connection = Connection(self.target)
        try:
            await self._once(connection, keep=False)
        finally:
            connection.close()

    async def _once(self, connection: Connection, *, keep: bool) -> None:
        loop = asyncio.get_running_loop()
        began, moment, before = loop.time(), datetime.now(UTC), connection.pod
        try:
            answer = await connection.request(headers={"user-agent": "load"}, timeout=self.timeout, keep=keep)
        except Failed as error:
            self.say(describe(self.record.fail(self.target.url, moment, error.kind, error.detail, before)))
            return
        pod, version = answer.headers.get(POD_HEADER, ""), answer.headers.get(VERSION_HEADER, "")
        if answer.status >= 400:
            detail = answer.body[:200].decode(errors="replace").strip()
            kind = f"status {answer.status}"
            self.say(describe(self.record.fail(self.target.url, moment, kind, detail, pod or before)))
            return
        self._tally.good(loop.time(), loop.time() - began, pod, version)


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so long; whether `stop` was set meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def run(options: argparse.Namespace, stop: asyncio.Event, say: Callable[[str], None]) -> Record:
    """Load all targets until `stop` or the duration is over; what was seen."""
    targets = [Target(url) for url in options.target]
    record = Record(options.name, [target.url for target in targets], datetime.now(UTC))
    server = await _serve(record, options.port) if options.port else None
    if server:
        port = server.sockets[0].getsockname()[1]
        say(f"load: {options.name}: report at http://0.0.0.0:{port}/report")
    if options.wait:
        await _first_answers(targets, options, stop, say)
        record.started = datetime.now(UTC)
    loads = [
        Load(target, record, connections=options.connections, timeout=options.timeout, say=say)
        for target in targets
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for load in loads:
                if options.rate:
                    tasks.create_task(load.steady(options.rate, keep=True, stop=stop))
                if options.new_connections:
                    tasks.create_task(load.steady(options.new_connections, keep=False, stop=stop))
            tasks.create_task(_state(record, stop, say))
            if options.duration:
                await _stopped(stop, options.duration)
                stop.set()
    finally:
        for load in loads:
            load.close()
        if server:
            server.close()
    return record


async def _first_answers(
    targets: Sequence[Target], options: argparse.Namespace, stop: asyncio.Event, say: Callable[[str], None]
) -> None:
    """Return when every target has answered well, or after `--wait` seconds; none of it is counted."""
    say(f"load: {options.name}: waits for the first answers")
    loop = asyncio.get_running_loop()
    end, said = loop.time() + options.wait, "no time was left to ask"
    for target in targets:
        connection = Connection(target)
        while loop.time() < end and not stop.is_set():
            try:
                answer = await connection.request(headers={}, timeout=options.timeout, keep=False)
            except Failed as error:
                said = f"{error.kind}: {error.detail}"
            else:
                if answer.status < 400:
                    break
                said = f"status {answer.status}"
            await _stopped(stop, _PATIENCE)
        else:
            if not stop.is_set():
                say(f"load: {options.name}: {target.url} did not answer in {options.wait:g} s: {said}")


async def _state(record: Record, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    while not await _stopped(stop, _STATED_EVERY):
        requests, failed = record.totals()
        say(f"load: {record.name}: {requests} requests, {failed} failed")


async def _serve(record: Record, port: int) -> asyncio.Server:
    """The report while it runs."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            start, _ = await read_head(reader)
            path = start.split(" ")[1].partition("?")[0]
            status, kind, body = "200 OK", "text/plain", b"ok\n"
            if path == "/report":
                kind, body = "application/json", record.json(datetime.now(UTC), running=True)
            elif path == "/report.txt":
                body = record.text(datetime.now(UTC)).encode()
            elif path != "/healthz":
                status, body = "404 Not Found", b"there are /report, /report.txt and /healthz\n"
            head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
            writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (OSError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the caller went away or does not speak HTTP
        finally:
            writer.close()

    return await asyncio.start_server(answer, "0.0.0.0", port, limit=HEAD_LIMIT)


async def serve(options: argparse.Namespace) -> Record:
    """Run until the duration is over, SIGTERM or SIGINT; what was seen."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return await run(options, stop, say)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="load", description=__doc__.partition("\n")[0])
    parser.add_argument("--target", action="append", required=True, help="URL to ask, may be repeated")
    parser.add_argument(
        "--rate", type=float, default=20.0, help="requests a second over kept connections (20)"
    )
    parser.add_argument("--connections", type=int, default=4, help="kept connections to each target (4)")
    parser.add_argument(
        "--new-connections",
        type=float,
        default=0.0,
        help="requests a second, each on a connection of its own",
    )
    parser.add_argument("--duration", type=float, default=0.0, help="seconds; 0: until SIGTERM")
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        help="seconds to wait for the first good answer; then the count begins",
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for one request (10)")
    parser.add_argument("--report", default="", help="file for the JSON report at the end")
    parser.add_argument("--port", type=int, default=0, help="port of the live report; 0: none")
    name = os.environ.get("POD_NAME") or socket.gethostname()
    parser.add_argument("--name", default=name, help="name in the report ($POD_NAME, else the host name)")
    return parser.parse_args(list(argv))


def main(argv: Sequence[str]) -> int:
    """Run the client; the exit code: 0 if nothing failed, else 1."""
    options = arguments(argv)
    record = asyncio.run(serve(options))
    now = datetime.now(UTC)
    if options.report:
        with open(options.report, "wb") as file:
            file.write(record.json(now, running=False))
    sys.stdout.write(record.text(now))
    sys.stdout.flush()
    return 1 if record.totals()[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
