"""The small single-threaded process that forks the init processes of pods.

It is forked off the node process before that has threads or large modules, so that the init of a pod costs
about one megabyte. It dies with the node process, and every pod with it.
"""

import gc
import os
import signal
import socket
import stat
import sys
import traceback
from typing import NamedTuple, NoReturn

from linnet.local.node import init, messages
from linnet.local.node.messages import Birth, Born, Failed, Layout
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
        _serve(its, layout)
    its.close()
    return Forker(mine, os.pidfd_open(pid))


def _serve(node: socket.socket, layout: Layout) -> NoReturn:
    linux.name_process("linnet-forker")
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for the exit codes of inits
    _close_inherited(node.fileno())
    gc.collect()
    gc.freeze()  # the pages of old objects stay shared
    gc.disable()  # inits do little, and make no cycles
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        data, descriptors = messages.receive(node, 2)
        if not data:
            os._exit(0)
        answer: Born | Failed
        given: list[int] = []
        try:
            pid, pidfd = _fork_init(node, own, messages.decode_birth(data), descriptors, layout)
            answer, given = Born(pid), [pidfd]
        except OSError as error:
            answer = Failed(error.errno or 0, f"fork the init of the pod: {error.strerror}")
        socket.send_fds(node, [messages.encode(answer)], given)
        for descriptor in descriptors + given:
            os.close(descriptor)


def _close_inherited(control: int) -> None:
    """Close what the node process has open, but not locks: who holds them lives."""
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if int(name) <= 2 or int(name) == control or not os.path.exists(path):
            continue
        if not stat.S_ISREG(os.stat(path).st_mode):
            os.close(int(name))


def _fork_init(
    node: socket.socket, own: int, birth: Birth, descriptors: list[int], layout: Layout
) -> tuple[int, int]:
    """Fork the first process of a new pid namespace; gives its pid and a pidfd."""
    linux.unshare(linux.CLONE_NEWPID)
    try:
        pid = os.fork()
        if pid == 0:
            _be_init(node, own, birth, descriptors, layout)
    finally:
        linux.setns(own, linux.CLONE_NEWPID)
    return pid, os.pidfd_open(pid)


def _be_init(node: socket.socket, own: int, birth: Birth, descriptors: list[int], layout: Layout) -> NoReturn:
    try:
        node.close()
        os.close(own)
        linux.die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        init.run(socket.socket(fileno=descriptors[0]), descriptors[1], birth, layout)
    finally:
        if problem := sys.exception():
            traceback.print_exception(problem)
            sys.stderr.flush()
        os._exit(1)
