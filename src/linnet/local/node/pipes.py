"""Our ends of a process's stdin, stdout and stderr: pipes, or one pseudo-terminal.

pipes = Pipes(output, tty=False, stdin=True)
process = await sandbox.start(command, pipes.child)
pipes.started()                       # closes the process's ends here
await pipes.write(b"…")
pipes.finish()                        # after the process has ended: what is left, then close
"""

import asyncio
import errno
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable

from linnet.local.node.runtime import Stdio

_CHUNK = 2**16
_UNLOCK = 0x40045431  # TIOCSPTLCK
_OTHER_END = 0x5441  # TIOCGPTPEER

Output = Callable[[str, bytes], None]  # stdout or stderr, bytes


class Pipes:
    """Reads what a process writes and gives it to `output`, until all its ends are closed or `finish`.

    `terminals` is the path of the `ptmx` that makes the terminal; by default this machine's.
    """

    def __init__(
        self, output: Output, *, tty: bool = False, stdin: bool = False, terminals: str = ""
    ) -> None:
        self.ended = asyncio.Event()  # nothing more will be read
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._readers: dict[int, str] = {}
        self._stdin: int | None = None
        self._tty = tty
        if tty:
            self._terminal, slave = open_terminal(terminals) if terminals else pty.openpty()
            self._theirs = [slave]
            self.child = Stdio(slave, slave, slave)
            self._stdin = self._terminal if stdin else None
            self._readers[self._terminal] = "stdout"
        else:
            stdin_fd = self._pipe_in() if stdin else None
            self._theirs = [stdin_fd] if stdin_fd is not None else []
            out, error = self._pipe_out("stdout"), self._pipe_out("stderr")
            self.child = Stdio(stdin_fd, out, error)
        for fd in self._readers:
            os.set_blocking(fd, False)

    def _pipe_in(self) -> int:
        theirs, self._stdin = os.pipe()
        os.set_blocking(self._stdin, False)
        return theirs

    def _pipe_out(self, stream: str) -> int:
        ours, theirs = os.pipe()
        self._readers[ours] = stream
        self._theirs.append(theirs)
        return theirs

    def started(self) -> None:
        """The process has its ends: close them here and read ours."""
        self._close_theirs()
        self.resume()

    def pause(self) -> None:
        """Read nothing until `resume`: the reader of the output is slow."""
        for fd in self._readers:
            self._loop.remove_reader(fd)

    def resume(self) -> None:
        """Read on."""
        for fd in self._readers:
            self._loop.add_reader(fd, self._read, fd)

    def _read(self, fd: int) -> bool:
        """Read once; whether there may be more at once."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose other end is closed
                raise
            data = b""
        if data:
            self._output(self._readers[fd], data)
            return True
        self._forget(fd)
        return False

    def _forget(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        del self._readers[fd]
        if self._stdin == fd:
            self._stdin = None
        os.close(fd)
        if not self._readers:
            self.ended.set()

    async def write(self, data: bytes) -> None:
        """Write to stdin. Raises BrokenPipeError when the process does not read it any more."""
        view = memoryview(data)
        while view:
            if self._stdin is None:
                raise BrokenPipeError(errno.EPIPE, "stdin is closed")
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await self._writable(self._stdin)

    async def _writable(self, fd: int) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(fd, _resolve, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(fd)

    def close_stdin(self) -> None:
        """End of input. On a terminal that is the character EOT."""
        if self._stdin is None:
            return
        if self._tty:
            os.write(self._stdin, b"\x04")
        else:
            os.close(self._stdin)
        self._stdin = None

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size; nothing happens without one."""
        if self._tty and self._readers:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def finish(self) -> None:
        """Take what is there already, then close everything. Idempotent."""
        self._close_theirs()
        for fd in list(self._readers):
            while self._read(fd):
                pass
            if fd in self._readers:
                self._forget(fd)
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
        self.ended.set()

    def _close_theirs(self) -> None:
        for fd in self._theirs:
            os.close(fd)
        self._theirs = []


def open_terminal(terminals: str) -> tuple[int, int]:
    """Both ends of a new terminal, which has a name where `terminals` is mounted. Raises OSError."""
    master = os.open(terminals, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(master, _UNLOCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, _OTHER_END, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        os.close(master)
        raise
    return master, slave


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
