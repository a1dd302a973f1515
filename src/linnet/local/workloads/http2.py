"""One HTTP/2 connection with prior knowledge, client or server: calls on it, and how each of them ended.

Unlike libraries for it, a GOAWAY ends nothing here: calls go on, the connection only takes no further ones.
Source: RFC 9113. Not here: priorities, server push.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterable

import hpack

from linnet.local.workloads import frames
from linnet.local.workloads.call import Call
from linnet.local.workloads.frames import Code, Deframer, Flag, Frame, Kind, Setting
from linnet.local.workloads.http1 import Failed

_OUR_WINDOW = 2**20  # bytes per stream and connection that a peer may send ahead
_GIVE_BACK = 2**18
_MOST_STREAMS = 1000


class Http2:
    """A connection. A server gives `serve`, which answers a call. `run` reads until the peer is gone."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        serve: Callable[[Call], Awaitable[None]] | None = None,
    ) -> None:
        self.window = frames.WINDOW
        self.told = asyncio.Event()  # a GOAWAY came
        self.finished = asyncio.Event()  # a call is over
        self._pong = asyncio.Event()
        self.closed = False
        self.calls: dict[int, Call] = {}
        self._reader, self._writer, self._serve = reader, writer, serve
        self._deframer = Deframer()
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._peer_window, self._peer_streams = frames.WINDOW, _MOST_STREAMS
        self._next, self._highest, self._eaten = 1, 0, 0
        self._block: tuple[int, bool, bytes] | None = None  # headers that go on
        self._tasks: set[asyncio.Task[None]] = set()
        preface = b"" if serve else frames.PREFACE
        ours = frames.settings(initial_window_size=_OUR_WINDOW, max_concurrent_streams=_MOST_STREAMS)
        writer.write(preface + ours + frames.more(0, _OUR_WINDOW - frames.WINDOW))

    @property
    def usable(self) -> bool:
        """Whether a further call may begin."""
        return not self.closed and not self.told.is_set() and len(self.calls) < self._peer_streams

    @property
    def busy(self) -> bool:
        """Whether calls are under way; if so `finished` is set when one of them is over."""
        self.finished.clear()
        return bool(self.calls)

    def call(self, headers: Iterable[tuple[str, str]], *, end: bool) -> Call:
        """Begin a call as the client."""
        number, self._next = self._next, self._next + 2
        call = self.calls[number] = Call(self, number, self._peer_window, served=False)
        call.send_headers(headers, end=end)
        return call

    async def run(self, begun: bytes = b"") -> None:
        """Read until the connection ends; calls that are open then are broken. `begun` was read before."""
        said = "closed"
        try:
            data = begun or await self._reader.read(65536)
            while data:
                for one in self._deframer.feed(data):
                    self._came(one)
                await self._writer.drain()
                data = await self._reader.read(65536)
        except OSError as error:
            said = str(error)
        except (ValueError, IndexError, struct.error, hpack.HPACKError) as error:
            said = f"not HTTP/2: {error}"
            self._end("malformed", said)
        finally:
            self._end("broken", f"{said}{', GOAWAY came before' if self.told.is_set() else ''}")
            for task in self._tasks:
                task.cancel()
            self._writer.close()

    async def ping(self) -> None:
        """Wait until the peer has read everything that was sent, or is gone."""
        self._writer.write(frames.frame(Kind.PING, 0, 0, b"linnet\0\0"))
        await self._pong.wait()

    def warn(self, last: int = frames.LAST_STREAM) -> None:
        """Send GOAWAY; calls go on."""
        if not self.closed:
            self._writer.write(frames.goaway(last))

    def close(self) -> None:
        """Close in order: GOAWAY, then the end."""
        if not self.closed:
            self._writer.write(frames.goaway(self._highest))
            self._writer.close()

    # -- what calls ask -----------------------------------------------------

    def send_headers(self, number: int, headers: Iterable[tuple[str, str]], *, end: bool) -> None:
        """HEADERS of a stream, in one frame."""
        block = self._encoder.encode(list(headers))
        flags = Flag.END_HEADERS | (Flag.END_STREAM if end else Flag.NONE)
        if not self.closed:
            self._writer.write(frames.frame(Kind.HEADERS, flags, number, block))
        self._forget(number)

    async def send_data(self, number: int, data: bytes, *, end: bool) -> None:
        """DATA of a stream."""
        self.window -= len(data)
        flags = Flag.END_STREAM if end else Flag.NONE
        if not self.closed:
            self._writer.write(frames.frame(Kind.DATA, flags, number, data))
            try:
                await self._writer.drain()
            except OSError:
                pass  # whoever reads says so
        self._forget(number)

    def reset(self, number: int, code: Code) -> None:
        """RST_STREAM; the call is forgotten."""
        if not self.closed:
            self._writer.write(frames.reset(number, code))
        self._drop(number)

    # -- what comes ---------------------------------------------------------

    def _came(self, one: Frame) -> None:
        call = self.calls.get(one.stream)
        end = bool(one.flags & Flag.END_STREAM)
        match one.kind:
            case Kind.HEADERS | Kind.CONTINUATION:
                self._came_headers(one, end=end)
            case Kind.DATA:
                self._took(one.stream, len(one.payload), open_still=call is not None and not end)
                if call is not None:
                    call.came_data(one.body, end=end)
                    self._forget(one.stream)
            case Kind.RST_STREAM:
                if call is not None:
                    call.fail("reset", f"RST_STREAM {frames.code_name(one.payload)}")
                    self._drop(one.stream)
            case Kind.SETTINGS if not one.flags & Flag.ACK:
                self._came_settings(one.payload)
            case Kind.PING:
                if one.flags & Flag.ACK:
                    self._pong.set()
                else:
                    self._writer.write(frames.frame(Kind.PING, Flag.ACK, 0, one.payload))
            case Kind.GOAWAY:
                self._came_goaway(one.payload)
            case Kind.WINDOW_UPDATE:
                size = int.from_bytes(one.payload)
                if not one.stream:
                    self.window += size
                    self._wake()
                elif call is not None:
                    call.window += size
                    call.wake()
            case _:
                pass

    def _came_headers(self, one: Frame, *, end: bool) -> None:
        number, ends, block = self._block or (one.stream, end, b"")
        block += one.body if one.kind == Kind.HEADERS else one.payload
        if not one.flags & Flag.END_HEADERS:
            self._block = (number, ends, block)
            return
        self._block = None
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        call = self.calls.get(number)
        if call is None and self._serve is not None and number > self._highest:
            call = self.calls[number] = Call(self, number, self._peer_window, served=True)
            self._highest = number
            task = asyncio.get_running_loop().create_task(self._answer(call, self._serve))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if call is not None:
            call.came_headers(headers, end=ends)
            self._forget(number)

    async def _answer(self, call: Call, serve: Callable[[Call], Awaitable[None]]) -> None:
        try:
            await serve(call)
        except Failed:
            pass  # the caller went away
        finally:
            call.cancel()

    def _came_settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == Setting.INITIAL_WINDOW_SIZE:
                for call in self.calls.values():
                    call.window += value - self._peer_window
                self._peer_window = value
            elif name == Setting.MAX_CONCURRENT_STREAMS:
                self._peer_streams = value
        self._writer.write(frames.frame(Kind.SETTINGS, Flag.ACK))
        self._wake()

    def _came_goaway(self, payload: bytes) -> None:
        last = int.from_bytes(payload[:4]) & frames.LAST_STREAM
        self.told.set()
        for number, call in list(self.calls.items()):
            if number > last and self._serve is None:
                call.fail("refused", f"not processed: GOAWAY {frames.code_name(payload[4:8])} after {last}")
                self._drop(number)
        self._wake()

    def _took(self, stream: int, size: int, *, open_still: bool) -> None:
        """Give the peer its window back, now and then."""
        self._eaten += size
        if self._eaten >= _GIVE_BACK:
            self._writer.write(frames.more(0, self._eaten))
            self._eaten = 0
        if size and open_still:
            self._writer.write(frames.more(stream, size))

    def _wake(self) -> None:
        for call in self.calls.values():
            call.wake()

    def _forget(self, number: int) -> None:
        call = self.calls.get(number)
        if call is not None and call.over:
            self._drop(number)

    def _drop(self, number: int) -> None:
        self.calls.pop(number, None)
        self.finished.set()

    def _end(self, kind: str, detail: str) -> None:
        self.closed = True
        for call in list(self.calls.values()):
            call.fail(kind, detail)
        self.calls.clear()
        self.finished.set()
        self._pong.set()
