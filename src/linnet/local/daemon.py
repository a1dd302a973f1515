"""The daemon: makes the node's network namespace and the listening sockets, then keeps two processes running.

    daemon ─┬─ api    (API server and controllers)
            └─ node   (kubelet, services, DNS, load balancers) ── forker ── one init per pod

Sockets and namespace belong to the daemon, so a process that is started again finds them as they were, and
clients wait instead of being refused. A process dies with its parent: nothing survives the daemon.
"""

import errno
import gc
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from linnet.local import records
from linnet.local.inheritance import Inheritance, say_ready
from linnet.local.node.network import API_IP, NODE_IP, make_node_namespace
from linnet.local.settings import Settings
from linnet.netlink import linux
from linnet.netlink.namespaces import listener_in

COMM = "linnet-local"  # the name of the daemon's process
KUBELET_PORT = 10250
_PORTS_TRIED = 100
_STOP_TIMEOUT = 8.0  # seconds that a process has to end by itself
_FIRST_BACKOFF, _LAST_BACKOFF = 0.1, 5.0  # seconds before a process that failed is started again
_LONG = 30.0  # seconds: a process that lived so long has not failed to start
_LONG_LOG = 8 << 20  # bytes
_HOPELESS = 3  # failures in a row after which `up` gives up; the daemon goes on
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


@dataclass(slots=True)
class _Child:
    name: str
    main: Callable[[Inheritance], None]
    pid: int = 0
    started: float = 0.0
    failures: int = 0  # in a row
    backoff: float = 0.0
    due: float = 0.0  # when it shall be started again


def main(settings: Settings, ready: int) -> NoReturn:
    """Be the daemon until TERM. `ready` is the pipe on which processes say that they serve."""
    from linnet.local import processes

    code = 1
    try:
        linux.name_process(COMM)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        gc.collect()
        gc.freeze()  # what is loaded now stays shared with all processes that are forked
        _log("starting", version=settings.version, pid=os.getpid())
        inheritance = _inherit(settings, ready)
        prepared = os.path.exists(f"{settings.paths.pki}/{processes.LAST_CERTIFICATE}")
        if prepared or _in_child(lambda: processes.prepare(inheritance)) == 0:
            children = [_Child(name, start) for name, start in processes.MAINS.items()]
            Daemon(inheritance, children).run()
            code = 0
    finally:
        if problem := sys.exception():
            traceback.print_exception(problem)
        sys.stderr.flush()
        os._exit(code)


def _inherit(settings: Settings, ready: int) -> Inheritance:
    """Make the namespace and the sockets, and record where they are. Raises OSError."""
    namespace = make_node_namespace()
    before = records.facts_of(settings.paths).get("port")
    made = Inheritance(
        settings=settings,
        namespace=namespace,
        api=_api_listener(before or settings.api_port),
        api_inside=listener_in(namespace, API_IP, 443),
        kubelet=listener_in(namespace, NODE_IP, KUBELET_PORT),
        ready=ready,
    )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    port = made.api.getsockname()[1]
    records.note(settings.paths, pid=os.getpid(), port=port, version=settings.version, started=started)
    return made


class Daemon:
    """Starts the processes, and starts again what ends, until it is asked to end."""

    def __init__(self, inheritance: Inheritance, children: list[_Child]) -> None:
        self._inheritance = inheritance
        self._children = children

    def run(self) -> None:
        """Until TERM or INT."""
        for child in self._children:
            self._start(child)
        while True:
            self._start_due()
            received = _wait(self._pause())
            if received in (signal.SIGTERM, signal.SIGINT):
                self._stop()
                return
            self._reap()

    def _pause(self) -> float:
        waiting = [child.due for child in self._children if not child.pid]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else 3600.0

    def _start_due(self) -> None:
        for child in self._children:
            if not child.pid and child.due <= time.monotonic():
                self._start(child)

    def _start(self, child: _Child) -> None:
        child.pid = _fork(child.name, child.main, self._inheritance)
        child.started = time.monotonic()
        _log("started", process=child.name, pid=child.pid)
        facts = {c.name: c.pid for c in self._children if c.pid}
        records.note(self._inheritance.settings.paths, processes=facts)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self._children:
                if child.pid == pid:
                    self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: _Child, code: int) -> None:
        lived = time.monotonic() - child.started
        child.failures = 0 if lived > _LONG else child.failures + 1
        child.backoff = min(_LAST_BACKOFF, _FIRST_BACKOFF * 2**child.failures)
        child.pid, child.due = 0, time.monotonic() + child.backoff
        _log("ended", process=child.name, code=code, again_in=child.backoff)
        if child.failures == _HOPELESS:
            say_ready(self._inheritance, f"!{child.name}")

    def _stop(self) -> None:
        """End the processes, the node before the API server, so that it can say goodbye."""
        for child in reversed(self._children):
            if not child.pid:
                continue
            os.kill(child.pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_TIMEOUT
            while child.pid and time.monotonic() < deadline:
                _wait(deadline - time.monotonic())
                self._reap()
            if child.pid:
                _log("killed", process=child.name)
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
        _log("stopped")


def _wait(seconds: float) -> int:
    """The next signal, or 0 after some seconds."""
    received = signal.sigtimedwait(_SIGNALS, seconds)
    return received.si_signo if received else 0


def _fork(name: str, main: Callable[[Inheritance], None], inheritance: Inheritance) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _become_child(name, inheritance)
        main(inheritance)
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:
        if (problem := sys.exception()) and not isinstance(problem, SystemExit):
            traceback.print_exception(problem)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become_child(name: str, inheritance: Inheritance) -> None:
    linux.name_process(f"linnet-{name}")
    linux.keep_large_blocks_apart()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    redirect_output(f"{inheritance.settings.paths.logs}/{name}.log")


def redirect_output(path: str) -> None:
    """Let this process write to a log file, and read nothing. A log that is long is put aside first."""
    if os.path.exists(path) and os.path.getsize(path) > _LONG_LOG:
        os.replace(path, f"{path}.1")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)


def _in_child(function: Callable[[], None]) -> int:
    """The exit code of a function that runs in a child, so that what it imports stays there."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            if problem := sys.exception():
                traceback.print_exception(problem)
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _api_listener(port: int) -> socket.socket:
    """A listening socket on the host's loopback, at the wanted port or the next free one."""
    for number in range(port, port + _PORTS_TRIED):
        try:
            return listener_in(None, "127.0.0.1", number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no free port between {port} and {port + _PORTS_TRIED} on 127.0.0.1")


def _log(event: str, **facts: object) -> None:
    line = {"event": event, **facts, "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds")}
    sys.stderr.write(json.dumps(line) + "\n")  # the daemon's log file
    sys.stderr.flush()
