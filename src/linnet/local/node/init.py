"""Pid 1 of a pod: makes the pod's root, forks its processes, reaps, takes everything with it at the end.

Lives in a small forked copy of the forker. It ends when the node closes the control socket or dies.
"""

import os
import select
import signal
import socket
from typing import NoReturn

from linnet.local.node import container, messages, rootfs
from linnet.local.node.messages import Birth, Exited, Failed, Kill, Layout, Ready, Start
from linnet.netlink import linux


def run(control: socket.socket, network: int, birth: Birth, layout: Layout) -> NoReturn:
    """Be the init of a pod. Runs in the first process of a new pid namespace."""
    linux.name_process("pod-init")
    try:
        _enter(network, birth)
    except OSError as error:
        _fail(control, error)
    _build_root(control, birth, layout)
    wake = _catch_children()
    control.send(messages.encode(Ready()))
    Init(control, wake).serve()
    os._exit(0)


def _fail(control: socket.socket, error: OSError) -> NoReturn:
    control.send(messages.encode(Failed(error.errno or 0, error.strerror or str(error))))
    os._exit(1)


def _build_root(control: socket.socket, birth: Birth, layout: Layout) -> None:
    """Build the root in a child: what that dirties in memory ends with it (1 MB a pod).

    `pivot_root` moves every process of the mount namespace, so this one too.
    """
    pid = os.fork()
    if pid == 0:
        try:
            rootfs.enter_new_root(layout, birth.files)
        except OSError as error:
            _fail(control, error)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        os._exit(1)
    os.chdir("/")


def _enter(network: int, birth: Birth) -> None:
    os.umask(0o022)
    linux.setns(network, linux.CLONE_NEWNET)
    os.close(network)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC)
    socket.sethostname(birth.hostname)


def _catch_children() -> int:
    """A descriptor that becomes readable when a child has ended."""
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return readable


class Init:
    """The loop of pid 1: starts what the node asks for, tells it what has ended."""

    def __init__(self, control: socket.socket, wake: int) -> None:
        self._control = control
        self._wake = wake
        self._pids: dict[int, int] = {}  # number of a process -> pid in this namespace
        self._numbers: dict[int, int] = {}

    def serve(self) -> None:
        """Until the node closes its end."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._control.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        data, descriptors = messages.receive(self._control, messages.MAX_DESCRIPTORS)
        if not data:
            return False
        match messages.decode_to_init.decode(data):
            case Start() as start:
                self._start(start, descriptors)
            case Kill(number=number, signal=signal_number):
                if pid := self._pids.get(number):
                    os.kill(pid, signal_number)
        return True

    def _start(self, start: Start, descriptors: list[int]) -> None:
        like = 0
        if start.like:
            like = self._pids.get(start.like, -1)
        if like < 0:
            with socket.socket(fileno=descriptors.pop(3)) as report:
                report.send(messages.encode(Failed(3, "the container is not running")))
        else:
            pid = os.fork()
            if pid == 0:
                container.become(start, descriptors, like)
            self._pids[start.number] = pid
            self._numbers[pid] = start.number
        for descriptor in descriptors:
            os.close(descriptor)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._numbers.pop(pid, 0)
            if number:
                del self._pids[number]
                code = os.waitstatus_to_exitcode(status)
                self._control.send(messages.encode(Exited(number, code if code >= 0 else 128 - code)))
