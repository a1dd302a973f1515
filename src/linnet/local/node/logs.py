"""The logs of a container on disk: one file an instance, each line with its time and stream.

    2026-11-25T01:02:03.123456789Z stdout F the line

`F` ends a line, `P` is a part of one. Source: Kubernetes, CRI logging format.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

from msgspec import Struct

ROTATE_BYTES = 10 * 2**20  # a file is renamed when it has grown beyond this
ROTATED_FILES = 4  # kept beside the current one
_PART = 16 * 2**10  # a longer line is written in parts
_BLOCK = 64 * 2**10


class LogQuery(Struct, frozen=True):
    """What of a log is wanted."""

    follow: bool = False
    tail: int | None = None  # lines from the end
    since: str = ""  # nothing older than this RFC 3339 moment
    timestamps: bool = False
    limit: int | None = None  # bytes
    stream: str = ""  # only stdout or stderr


class Log:
    """The log of one instance of a container: `write` appends, `closed` is set when no more will come."""

    def __init__(self, path: str, *, rotate_bytes: int = ROTATE_BYTES) -> None:
        self.path = path
        self.closed = False
        self._rotate_bytes = rotate_bytes
        self._rest: dict[str, bytes] = {}
        self._listeners: set[asyncio.Event] = set()
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Append output of `stdout` or `stderr`; an unfinished line waits for its end."""
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        head = f"{_nanoseconds()} {stream} ".encode()
        out = [part for line in lines for part in _entry(head, line, b"F")]
        while len(rest) > _PART:
            out.append(head + b"P " + rest[:_PART] + b"\n")
            rest = rest[_PART:]
        self._rest[stream] = rest
        if out:
            self._append(b"".join(out))

    def close(self) -> None:
        """Write what is left and end the log. Idempotent."""
        if self.closed:
            return
        for stream, rest in self._rest.items():
            if rest:
                self._append(b"".join(_entry(f"{_nanoseconds()} {stream} ".encode(), rest, b"P")))
        self.closed = True
        os.close(self._fd)
        self._wake()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever the log grew or ended."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._size += len(data)
        if self._size > self._rotate_bytes:
            self._rotate()
        self._wake()

    def _rotate(self) -> None:
        os.rename(self.path, f"{self.path}.{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
        os.close(self._fd)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = 0
        for old in rotated(self.path)[:-ROTATED_FILES]:
            os.unlink(old)

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.set()


def rotated(path: str) -> list[str]:
    """The renamed predecessors of a log file, oldest first."""
    directory, name = os.path.split(path)
    return sorted(
        os.path.join(directory, entry) for entry in os.listdir(directory) if entry.startswith(name + ".")
    )


async def read(path: str, query: LogQuery, log: Log | None = None) -> AsyncGenerator[bytes, None]:
    """The text of a log file, in pieces; with `follow`, what `log` still appends, until it is closed.

    Raises:
        FileNotFoundError: the container has no log.
    """
    left = query.limit
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.lseek(fd, _tail_offset(fd, query.tail), os.SEEK_SET)
        async with aclosing(_follow(path, fd, log) if query.follow and log else _blocks(fd)) as blocks:
            async for block in blocks:
                text = b"".join(_text(line, query) for line in block)
                if left is not None:
                    text, left = text[:left], left - len(text)
                if text:
                    yield text
                if left is not None and left <= 0:
                    return
    finally:
        os.close(fd)


async def _blocks(fd: int) -> AsyncGenerator[list[bytes], None]:
    """The entries from the current position to the end, a list at a time."""
    rest = b""
    while chunk := os.read(fd, _BLOCK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
        await asyncio.sleep(0)  # a long log must not hold up the pods


async def _follow(path: str, fd: int, log: Log) -> AsyncGenerator[list[bytes], None]:
    """As `_blocks`, and then whatever is appended, over rotations, until the log is closed."""
    with log.listening() as grown:
        current = os.dup(fd)
        try:
            while True:
                grown.clear()
                ended = log.closed
                async for lines in _blocks(current):
                    yield lines
                if os.fstat(current).st_ino != os.stat(path).st_ino:
                    os.close(current)
                    current = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                elif ended:
                    return
                else:
                    await grown.wait()
        finally:
            os.close(current)


def last(path: str, *, lines: int, limit: int) -> str:
    """The last lines of a log as text, at most `limit` bytes; empty when there is no log."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        start = _tail_offset(fd, lines)
        entries = os.pread(fd, os.fstat(fd).st_size - start, start).split(b"\n")
    finally:
        os.close(fd)
    text = b"".join(_text(entry, LogQuery()) for entry in entries)
    return text[-limit:].decode(errors="replace")


def _entry(head: bytes, line: bytes, end: bytes) -> Iterator[bytes]:
    """A line as log entries."""
    while len(line) > _PART:
        yield head + b"P " + line[:_PART] + b"\n"
        line = line[_PART:]
    yield head + end + b" " + line + b"\n"


def _text(entry: bytes, query: LogQuery) -> bytes:
    """What an entry shows for a query: nothing, a line, or a part of one."""
    stamp, _, rest = entry.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    if not tag or (query.since and stamp.decode() < query.since):
        return b""
    if query.stream and stream.decode() != query.stream:
        return b""
    shown = stamp + b" " + text if query.timestamps else text
    return shown if tag == b"P" else shown + b"\n"


def _tail_offset(fd: int, lines: int | None) -> int:
    """Where the last `lines` entries begin."""
    if lines is None:
        return 0
    end = os.fstat(fd).st_size
    if lines <= 0:
        return end
    position, wanted = end, lines + 1  # the newline before the first wanted entry counts too
    while position > 0:
        size = min(_BLOCK, position)
        block = os.pread(fd, size, position - size)
        found = block.count(b"\n")
        if found < wanted:
            wanted -= found
            position -= size
            continue
        at = len(block)
        for _ in range(wanted):
            at = block.rindex(b"\n", 0, at)
        return position - size + at + 1
    return 0


def _nanoseconds() -> str:
    """Now, with nanoseconds, so that text order is time order."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
