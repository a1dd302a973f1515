"""The node's end of the forker: requests out, news in, given to whom they concern."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable

from linnet.local.node import messages
from linnet.local.node.messages import Birth, Born, Exited, Failed, Kill, Ready, Report, Start, Started

_SO_SNDBUFFORCE = 32
_AGAIN = 0.01  # seconds


class Forking:
    """Asks the forker; one per node process."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        _enlarge(control)
        self._control = control
        self._last = 0
        self._births: dict[int, asyncio.Future[int]] = {}
        self._ends: dict[int, Callable[[int], None]] = {}
        asyncio.get_running_loop().add_reader(control, self._on_news)

    def number(self) -> int:
        """A number for a pod or a process that no other has."""
        self._last += 1
        return self._last

    async def bear(self, birth: Birth, network: int, *, timeout: float) -> int:
        """The pidfd of the init of a new pod, whose root is made. Raises OSError: why not."""
        born = self._births[birth.pod] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._ask(birth, [network], position=0)
                return await asyncio.shield(born)
        except BaseException:
            born.add_done_callback(_discard)
            raise

    async def start(self, start: Start, descriptors: list[int], ended: Callable[[int], None]) -> int:
        """The pid of a process that runs its program; `ended` is called once with its exit code.

        Raises:
            OSError: it cannot run; `ended` is not called.
        """
        self._ends[start.number] = ended
        try:
            return await self._ask(start, descriptors, position=3)
        except BaseException:
            self._ends.pop(start.number, None)
            raise

    def kill(self, number: int, signal_number: int) -> None:
        """Send a signal to a process, if it has not ended."""
        if number not in self._ends:
            return
        try:
            self._control.send(messages.encode(Kill(number, signal_number)))
        except BlockingIOError:  # the forker has much to do
            asyncio.get_running_loop().call_later(_AGAIN, self.kill, number, signal_number)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the forker has ended, and the process with it

    def forget(self, number: int) -> None:
        """A process whose end is known otherwise."""
        self._ends.pop(number, None)

    async def _ask(self, request: Birth | Start, descriptors: list[int], *, position: int) -> int:
        """Send a request with a report socket among its descriptors; gives the pid of its answer, or 0."""
        report, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            report.setblocking(False)
            given = [*descriptors[:position], its.fileno(), *descriptors[position:]]
            await self._send(messages.encode(request), given)
            its.close()
            return await _outcome(report)
        finally:
            report.close()
            its.close()

    async def _send(self, data: bytes, descriptors: list[int]) -> None:
        while True:
            try:
                socket.send_fds(self._control, [data], descriptors)
                return
            except BlockingIOError:
                await _until_writable(self._control)

    def _on_news(self) -> None:
        while True:
            try:
                data, given = messages.receive(self._control, 1)
            except BlockingIOError:
                return
            if not data:  # the forker has ended; its pidfd and those of the pods tell everybody
                asyncio.get_running_loop().remove_reader(self._control)
                return
            match messages.decode_news.decode(data):
                case Born(pod=pod):
                    self._births.pop(pod).set_result(given[0])
                case Exited(number=number, code=code):
                    if ended := self._ends.pop(number, None):
                        ended(code)


def _discard(born: asyncio.Future[int]) -> None:
    """End an init that nobody wants any more."""
    pidfd = born.result()
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself
    os.close(pidfd)


async def _outcome(report: socket.socket) -> int:
    """Read a report socket to its end."""
    pid, alive = 0, False
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(report, messages.MAX_MESSAGE):
        message: Report = messages.decode_report.decode(data)
        match message:
            case Started(pid=pid):
                alive = True
            case Ready():
                alive = True
            case Failed(number=number, text=text):
                raise OSError(number, text)
    if not alive:
        raise ChildProcessError(10, "the forker or the init of the pod has ended")
    return pid


def _enlarge(control: socket.socket) -> None:
    """Let a message with a large environment fit."""
    try:
        control.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 4 * messages.MAX_MESSAGE)
    except PermissionError:
        control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * messages.MAX_MESSAGE)


async def _until_writable(control: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(control, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(control)
