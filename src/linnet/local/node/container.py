"""What a forked process does before it becomes the program of a container: files, mounts, user, capabilities.

Runs in a child of the forker. Failures go to the report socket as `Failed`; on success exec closes it.
"""

import fcntl
import os
import resource
import signal
import socket
import stat
import sys
import termios
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from linnet.local.node import messages, rootfs
from linnet.local.node.capabilities import bits
from linnet.local.node.messages import Failed, Start
from linnet.local.node.runtime import Command
from linnet.netlink import linux

_NOFILE = 1 << 16
_RESET_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGXFSZ,
)


def become(start: Start, descriptors: Sequence[int], pod: int, like: int) -> NoReturn:
    """Become the process that `start` describes. Runs in a child that is in the pod's pid namespace.

    `pod` is the pidfd of the pod's init, `like` the pid whose mounts are shared, or 0.
    """
    report = socket.socket(fileno=descriptors[3])
    command = start.command
    try:
        _take_stdio(descriptors[:3], command)
        _enter(start, descriptors[4:], pod, like)
        os.chdir(command.cwd or "/")
        _set_limits()
        _drop_rights(command)
        if command.python:
            report.close()
            _call(command)
        _execute(command)
    except OSError as error:
        report.send(messages.encode(Failed(error.errno or 0, _text(error, command))))
    finally:
        if problem := sys.exception():
            traceback.print_exception(problem)
        os._exit(127)


def _text(error: OSError, command: Command) -> str:
    if error.filename is None:
        return error.strerror or str(error)
    return f"{error.filename or command.argv[0]}: {error.strerror}"


def _take_stdio(descriptors: Sequence[int], command: Command) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    os.setsid()
    if command.tty:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if command.uid:
        for number in range(3):  # or /dev/stdout could not be opened by this user
            mode = os.fstat(number).st_mode
            if stat.S_ISFIFO(mode) or os.isatty(number):
                os.fchown(number, command.uid, -1)


def _enter(start: Start, trees: Sequence[int], pod: int, like: int) -> None:
    """Enter the pod's namespaces, and make or share mounts."""
    os.umask(0o022)
    others = linux.CLONE_NEWNET | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
    if like:
        mounts = os.open(f"/proc/{like}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(pod, others)
        linux.setns(mounts, linux.CLONE_NEWNS)
        os.close(mounts)
        return
    linux.setns(pod, others | linux.CLONE_NEWNS)
    linux.unshare(linux.CLONE_NEWNS)
    rootfs.make_private()
    for tree, place in zip(trees, start.places, strict=True):
        rootfs.attach(tree, place)
        os.close(tree)
    if start.command.read_only_root:
        rootfs.make_read_only(place.target for place in start.places)


def _set_limits() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = _NOFILE if hard == resource.RLIM_INFINITY else min(hard, _NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for number in _RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _drop_rights(command: Command) -> None:
    wanted = bits(command.capabilities) & linux.permitted_capabilities()  # a container has not all of them
    uid = command.uid or 0
    gid = command.gid if command.gid is not None else 0
    linux.drop_bounding(wanted)
    os.setgroups([gid, *command.groups])
    os.setgid(gid)
    if uid:
        linux.prctl(linux.PR_SET_KEEPCAPS, 1)
        os.setuid(uid)
    if uid and command.capabilities is None:
        wanted = 0
    linux.set_capabilities(wanted)
    if uid:
        linux.raise_ambient(wanted)


def _execute(command: Command) -> NoReturn:
    environment = dict(command.env)
    program = command.argv[0]
    if "/" in program:
        os.execve(program, list(command.argv), environment)  # noqa: S606
    denied: OSError | None = None
    for directory in environment.get("PATH", os.defpath).split(":"):
        path = os.path.join(directory or ".", program)
        try:
            os.execve(path, list(command.argv), environment)  # noqa: S606
        except PermissionError as error:
            denied = error
        except (FileNotFoundError, NotADirectoryError):
            continue
    raise denied or FileNotFoundError(2, "executable file not found in $PATH", program)


def _call(command: Command) -> NoReturn:
    """Run a Python function in this process; what it returns (None: 0) is the exit code."""
    code = 1
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)  # whatever they were before the fork
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    try:
        os.environ.clear()
        os.environ.update(command.env)
        module, _, name = command.python.partition(":")
        code = int(getattr(import_module(module), name)(list(command.argv)) or 0)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    finally:
        if (problem := sys.exception()) and not isinstance(problem, SystemExit):
            traceback.print_exception(problem)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
