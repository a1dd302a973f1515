"""The small single-threaded process that forks all processes of pods.

It is forked off the node process before that has threads or large modules. It is the parent of the inits and
of the processes of containers, so it reaps them and tells how they ended. It dies with the node process, and
every pod with it.
"""

import gc
import os
import select
import signal
import socket
import stat
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from linnet.local.node import container, init, messages
from linnet.local.node.messages import Birth, Born, Exited, Failed, Kill, Layout, Start, Started
from linnet.netlink import linux


class Forker(NamedTuple):
    """The socket by which the forker is asked, and its pidfd, which becomes readable when it has ended."""

    control: socket.socket
    pidfd: int


def fork_forker(layout: Layout) -> Forker:
    """Fork the forker. Call it in a process with one thread."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        mine.close()
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _child(lambda: _prepare(its, layout).serve())
    its.close()
    return Forker(mine, os.pidfd_open(pid))


def _prepare(node: socket.socket, layout: Layout) -> "_Loop":
    linux.name_process("linnet-forker")
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _close_inherited(node.fileno())
    readable, writable = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    gc.collect()
    gc.freeze()  # the pages of old objects stay shared
    return _Loop(node, layout, readable)


def _close_inherited(control: int) -> None:
    """Close what the node process has open, but not locks: who holds them lives."""
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if int(name) <= 2 or int(name) == control or not os.path.exists(path):
            continue
        if not stat.S_ISREG(os.stat(path).st_mode):
            os.close(int(name))


class _Pod(NamedTuple):
    number: int
    pidfd: int  # of its init


class _Loop:
    """Forks what the node asks for, and tells it what has ended."""

    def __init__(self, node: socket.socket, layout: Layout, wake: int) -> None:
        self._node = node
        self._layout = layout
        self._wake = wake
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._pods: dict[int, _Pod] = {}
        self._inits: dict[int, _Pod] = {}  # by pid
        self._pids: dict[int, int] = {}  # of processes, by their number
        self._numbers: dict[int, int] = {}

    def serve(self) -> None:
        """Until the node closes its end."""
        poll = select.poll()
        poll.register(self._node, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._node.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        data, descriptors = messages.receive(self._node, messages.MAX_DESCRIPTORS)
        if not data:
            return False
        match messages.decode_request.decode(data):
            case Birth() as birth:
                self._bear(birth, descriptors)
            case Start() as start:
                self._start(start, descriptors)
            case Kill(number=number, signal=signal_number):
                if pid := self._pids.get(number):
                    os.kill(pid, signal_number)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _bear(self, birth: Birth, descriptors: list[int]) -> None:
        """Fork the first process of a new pid namespace."""

        def be() -> None:
            linux.die_with_parent(signal.SIGKILL)
            init.run(socket.socket(fileno=descriptors[0]), descriptors[1], birth, self._layout)

        try:
            linux.unshare(linux.CLONE_NEWPID)
            pid = self._fork(be)
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            _report(descriptors[0], Failed(error.errno or 0, f"fork the init: {error.strerror}"))
            return
        self._pods[birth.pod] = self._inits[pid] = _Pod(birth.pod, pidfd)
        socket.send_fds(self._node, [messages.encode(Born(birth.pod, pid))], [pidfd])

    def _start(self, start: Start, descriptors: list[int]) -> None:
        """Fork a process in the pid namespace of its pod."""
        pod = self._pods.get(start.pod)
        like = self._pids.get(start.like, 0)
        if pod is None or (start.like and not like):
            _report(descriptors[3], Failed(3, "the container is not running"))
            return
        try:
            linux.setns(pod.pidfd, linux.CLONE_NEWPID)
            pid = self._fork(lambda: container.become(start, descriptors, pod.pidfd, like))
        except OSError as error:
            _report(descriptors[3], Failed(error.errno or 0, f"fork: {error.strerror}"))
            return
        self._pids[start.number] = pid
        self._numbers[pid] = start.number
        _report(descriptors[3], Started(pid))

    def _fork(self, child: Callable[[], None]) -> int:
        """Fork into the pid namespace that was chosen, and choose our own again."""
        try:
            pid = os.fork()
            if pid == 0:
                self._node.close()
                _child(child)
        finally:
            linux.setns(self._own, linux.CLONE_NEWPID)
        return pid

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pod := self._inits.pop(pid, None):
                del self._pods[pod.number]
                os.close(pod.pidfd)
            elif number := self._numbers.pop(pid, 0):
                del self._pids[number]
                code = os.waitstatus_to_exitcode(status)
                self._node.send(messages.encode(Exited(number, code if code >= 0 else 128 - code)))


def _report(descriptor: int, message: Started | Failed) -> None:
    """Say something on a report socket whose descriptor stays open."""
    with socket.socket(fileno=os.dup(descriptor)) as report:
        try:
            report.send(messages.encode(message))
        except BrokenPipeError:
            pass  # nobody waits any more


def _child(run: Callable[[], None]) -> NoReturn:
    """Run a function as the whole life of a forked process."""
    code = 1
    try:
        run()
        code = 0
    finally:
        if problem := sys.exception():
            traceback.print_exception(problem)
            sys.stderr.flush()
        os._exit(code)
