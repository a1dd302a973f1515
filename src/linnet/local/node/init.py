"""Pid 1 of a pod: makes the pod's namespaces and root, then sleeps for ever and lets the kernel reap orphans.

When it is killed, the kernel kills everything in its pid namespace. It has no rights and, as it becomes the
program `sleep`, nearly no memory.
"""

import os
import shutil
import signal
import socket
import stat
from typing import NoReturn

from linnet.local.node import messages, rootfs
from linnet.local.node.capabilities import bits
from linnet.local.node.messages import Birth, Failed, Layout, Ready
from linnet.netlink import linux

_FOREVER = "2147483647"  # seconds


def run(report: socket.socket, network: int, birth: Birth, layout: Layout) -> NoReturn:
    """Be the init of a pod. Runs in the first process of a new pid namespace."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # also after exec: orphans leave no zombies
    program = os.path.realpath(shutil.which("sleep") or "/bin/sleep")
    try:
        _enter(network, birth, layout)
        _lock_up()
    except OSError as error:
        report.send(messages.encode(Failed(error.errno or 0, error.strerror or str(error))))
        os._exit(1)
    report.send(messages.encode(Ready()))
    try:
        os.execve(program, ["sleep", _FOREVER], {})  # noqa: S606
    except OSError:  # a machine without it: sleep here, for a megabyte more
        report.close()
        while True:
            signal.pause()


def _enter(network: int, birth: Birth, layout: Layout) -> None:
    os.umask(0o022)
    linux.setns(network, linux.CLONE_NEWNET)
    os.close(network)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC)
    socket.sethostname(birth.hostname)
    rootfs.enter_new_root(layout, birth.files)


def _lock_up() -> None:
    """Keep nothing but the locks that tell who lives, and one capability.

    With it, nobody without that capability may look at this process (`/proc/1/fd`, `/proc/1/root`).
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if int(name) > 2 and os.path.exists(path) and stat.S_ISREG(os.stat(path).st_mode):
            os.set_inheritable(int(name), True)
    linux.drop_bounding(bits(["SYS_PTRACE"]))
    linux.set_capabilities(bits(["SYS_PTRACE"]))
