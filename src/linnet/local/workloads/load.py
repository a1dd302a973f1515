"""load: asks at a steady rate in many protocols and reports every failure: when, what kind, which pod.

    load --target http://web/ --rate 50 --new-connections 5 --target ws://web/ --streams 3 [--duration 60]

Targets: http:// (HTTP/1.1), h2c:// (HTTP/2), grpc:// (unary), and long streams: grpc+server://, grpc+bidi://,
tcp://HOST:PORT, ws://. Each gets the rates of the options; `#rate=5&new=1` behind a URL is for it alone
(rate, connections, new; streams, every, life). The clock decides when a request is due, not the server's
speed. Nothing is retried. A long stream must not end without a word: `reset` counts those that do.
The report is at http://:PORT/report (JSON) and /report.txt while it runs, and in `--report FILE` at the end.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from linnet.local.workloads import steady
from linnet.local.workloads.aims import Aim, Pace, aim
from linnet.local.workloads.channel import Channel
from linnet.local.workloads.http1 import HEAD_LIMIT, Failed, Target, read_head
from linnet.local.workloads.lines import GrpcLine, Line, WebSocketLine
from linnet.local.workloads.record import Record, describe
from linnet.local.workloads.steady import Ask, Kept, Steady, stopped
from linnet.local.workloads.streams import Stream
from linnet.local.workloads.tcp import TcpLine

_PATIENCE = 0.2  # seconds between attempts before the first answer
_STATED_EVERY = 10.0  # seconds between lines about progress
Say = Callable[[str], None]


class Channels:
    """The channels of HTTP/2: calls and streams of all targets with one authority share theirs."""

    def __init__(self) -> None:
        self._held: dict[str, Channel] = {}

    def of(self, target: Aim) -> Channel:
        """The channel to a target; the first target decides how many connections it has."""
        if target.authority not in self._held:
            channel = Channel(target.host, target.port, target.authority, target.pace.connections)
            self._held[target.authority] = channel
        return self._held[target.authority]

    async def close(self) -> None:
        """Close all."""
        for channel in self._held.values():
            await channel.close()


def asker(target: Aim, channels: Channels, timeout: float) -> Ask:
    """How a target is asked once."""
    match target.protocol:
        case "http2":
            return steady.http2(channels.of(target), target.path, timeout)
        case "grpc":
            return steady.grpc(channels.of(target), timeout)
        case _:
            return steady.fresh(Target(target.url), timeout)


def line(target: Aim, channels: Channels) -> Line:
    """A new long stream to a target."""
    match target.protocol:
        case "tcp":
            return TcpLine(target)
        case "websocket":
            return WebSocketLine(target)
        case _:
            return GrpcLine(target, channels.of(target))


async def run(options: argparse.Namespace, record: Record, stop: asyncio.Event, say: Say) -> None:
    """Load all targets until `stop` or the duration is over, and record what is seen."""
    async with AsyncExitStack() as rest:
        if options.port:
            server = await _serve(record, options.port)
            rest.callback(server.close)
            say(f"load: {options.name}: report at http://0.0.0.0:{server.sockets[0].getsockname()[1]}/report")
        channels = Channels()
        rest.push_async_callback(channels.close)
        if options.wait:
            await _first_answers(options, channels, stop, say)
            record.started = datetime.now(UTC)
        try:
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as tasks:
                for target in options.target:
                    _load(target, record, channels, options.timeout, stop, say, tasks, rest)
                tasks.create_task(_state(record, stop, say))
                await stopped(stop, options.duration or None)
                stop.set()
                limit.reschedule(asyncio.get_running_loop().time() + 2 * options.timeout)
        except TimeoutError:  # the report is worth more than whatever does not end
            left = record.tally("unfinished", "")
            moment = datetime.now(UTC)
            say(describe(record.fail(left, moment, "unfinished", "requests that did not end", "")))


def _load(
    target: Aim,
    record: Record,
    channels: Channels,
    timeout: float,
    stop: asyncio.Event,
    say: Say,
    tasks: asyncio.TaskGroup,
    rest: AsyncExitStack,
) -> None:
    """Start the load on one target."""
    pace = target.pace
    if target.long:
        tally = record.tally(target.protocol, target.url)
        for _ in range(pace.streams):
            stream = Stream(
                lambda: line(target, channels),
                record,
                tally,
                every=pace.every,
                life=pace.life,
                timeout=timeout,
                say=say,
            )
            tasks.create_task(stream.keep(stop))
        return
    if pace.rate:
        tally = record.tally(target.protocol, target.url)
        if target.protocol == "http1":
            kept = Kept(Target(target.url), tally, stop, connections=pace.connections, timeout=timeout)
            rest.callback(kept.close)
            ask: Ask = kept.ask
        else:
            ask = asker(target, channels, timeout)
        tasks.create_task(Steady(ask, record, tally, say).run(pace.rate, stop))
    if pace.new and target.protocol == "http1":
        tally = record.tally("http1-new", target.url)
        ask = steady.fresh(Target(target.url), timeout)
        tasks.create_task(Steady(ask, record, tally, say).run(pace.new, stop))


async def _first_answers(
    options: argparse.Namespace, channels: Channels, stop: asyncio.Event, say: Say
) -> None:
    """Return when every target has answered well, or after `--wait` seconds; none of it is counted."""
    say(f"load: {options.name}: waits for the first answers")
    loop = asyncio.get_running_loop()
    end = loop.time() + options.wait
    for target in options.target:
        said = "no time was left to ask"
        while loop.time() < end and not stop.is_set():
            try:
                await _try(target, channels, options.timeout)
                break
            except Failed as error:
                said = f"{error.kind}: {error.detail}"
            except TimeoutError:
                said = "timeout"
            await stopped(stop, _PATIENCE)
        else:
            if not stop.is_set():
                say(f"load: {options.name}: {target.url} did not answer in {options.wait:g} s: {said}")


async def _try(target: Aim, channels: Channels, timeout: float) -> None:
    """Ask a target once. Raises Failed, TimeoutError."""
    if not target.long:
        answer = await asker(target, channels, timeout)()
        if answer.status >= 400:
            raise Failed(f"status {answer.status}", "")
        return
    one = line(target, channels)
    try:
        async with asyncio.timeout(timeout):
            await one.open()
            await one.leave()
            await one.listen(_ignored)
    finally:
        one.drop()


def _ignored(text: str) -> None:
    pass


async def _state(record: Record, stop: asyncio.Event, say: Say) -> None:
    while not await stopped(stop, _STATED_EVERY):
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
    out = sys.stderr if options.output == "json" else sys.stdout

    def say(text: str) -> None:
        out.write(text + "\n")
        out.flush()

    record = Record(options.name, datetime.now(UTC))
    await run(options, record, stop, say)
    return record


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; `target` is a list of Aims."""
    head, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        prog="load",
        description=head,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    name = os.environ.get("POD_NAME") or socket.gethostname()
    add("--target", action="append", required=True, help="URL to ask, may be repeated")
    add("--rate", type=float, default=20.0, help="requests a second (20)")
    add("--connections", type=int, default=4, help="kept connections to each target (4)")
    add("--new-connections", type=float, default=0.0, help="HTTP/1.1 requests a second on new connections")
    add("--streams", type=int, default=2, help="long streams to each target that is about them (2)")
    add("--every", type=float, default=1.0, help="seconds between messages on a stream (1)")
    add("--life", type=float, default=0.0, help="seconds until we end a stream; 0: its server does")
    add("--duration", type=float, default=0.0, help="seconds; 0: until SIGTERM")
    add("--wait", type=float, default=0.0, help="seconds to wait for a first good answer; then it counts")
    add("--timeout", type=float, default=10.0, help="seconds for one request (10)")
    add("--report", default="", help="file for the JSON report at the end")
    add("--port", type=int, default=0, help="port of the live report; 0: none")
    add("--name", default=name, help="name in the report ($POD_NAME, else the host name)")
    add("-o", "--output", choices=("text", "json"), default="text", help="form of the report at the end")
    options = parser.parse_args(list(argv))
    pace = Pace(
        options.rate,
        options.connections,
        options.new_connections,
        options.streams,
        options.every,
        options.life,
    )
    try:
        options.target = [aim(text, pace) for text in options.target]
    except ValueError as error:
        parser.error(str(error))
    return options


def main(argv: Sequence[str]) -> int:
    """Run the client; the exit code: 0 if nothing failed, else 1."""
    options = arguments(argv)
    record = asyncio.run(serve(options))
    now = datetime.now(UTC)
    if options.report:
        with open(options.report, "wb") as file:
            file.write(record.json(now, running=False))
    text = record.json(now, running=False).decode() if options.output == "json" else record.text(now)
    sys.stdout.write(text)
    sys.stdout.flush()
    return 1 if record.totals()[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
