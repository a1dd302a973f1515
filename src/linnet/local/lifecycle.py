"""Bring the local cluster up and take it down, from the outside: what the commands `up` and `down` do."""

import contextlib
import os
import select
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from linnet.local import ask, daemon, preflight, processes, records
from linnet.local.paths import Paths
from linnet.local.settings import Settings

_UP_TIMEOUT = 60.0  # seconds until the cluster must answer
_DOWN_TIMEOUT = 25.0  # seconds for an orderly end
_KILL_TIMEOUT = 10.0
_POLL = 0.02

Say = Callable[[str], None]


class CannotStart(OSError):
    """Something is missing, or a process of the cluster failed; the message says what to do."""


class Up(Struct, frozen=True):
    """A cluster that answers."""

    port: int
    already: bool  # it was running


def up(settings: Settings, say: Say, catalogue: str | None = None) -> Up:
    """Start the cluster, or find it running; return when it answers.

    `catalogue` is the content of the user's catalogue file, which is kept for later runs.

    Raises:
        CannotStart: with the remedy; nothing is left running, and nothing was made if this machine cannot.
    """
    paths = settings.paths
    if not (os.path.isdir(paths.state) and records.running(paths)) and (found := preflight.problems(paths)):
        raise CannotStart("this machine cannot run a local cluster:\n" + _listed(found))
    _make_directory(paths.state)
    with _alone(paths, say):
        life = _take_life(paths, say)
        if life is None:
            _refuse_other(paths, catalogue)
            return _find_running(paths, say)
        if catalogue is not None:
            records.write(paths.catalogue, catalogue.encode())
        return Up(_start(settings, life, say), already=False)


def _refuse_other(paths: Paths, catalogue: str | None) -> None:
    """Refuse a catalogue that the running cluster does not have."""
    if catalogue is None:
        return
    with contextlib.suppress(FileNotFoundError), open(paths.catalogue, encoding="utf-8") as file:
        if file.read() == catalogue:
            return
    raise CannotStart(
        "the cluster is running without this catalogue: linnet local down, then the same command"
    )


def down(paths: Paths, *, purge: bool, say: Say) -> bool:
    """Stop the cluster; `purge` also forgets its state. Gives whether it was running. Raises OSError."""
    if not os.path.isdir(paths.state):
        return False
    with _alone(paths, say):
        was_running = records.running(paths)
        if was_running:
            _stop(paths, say)
        shutil.rmtree(paths.run, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(paths.daemon)
        if purge:
            shutil.rmtree(paths.state)
    return was_running


@contextlib.contextmanager
def _alone(paths: Paths, say: Say) -> Iterator[None]:
    """Hold the lock of `up` and `down`: a second one waits."""
    held = records.lock(paths.up_lock, wait=False)
    if held is None:
        say("another linnet local up or down is at work; waiting for it")
        held = records.lock(paths.up_lock, wait=True)
    assert held is not None
    try:
        yield
    finally:
        os.close(held)


def _take_life(paths: Paths, say: Say) -> int | None:
    """The lock of a cluster that does not run; None: it runs."""
    life = records.lock(paths.lock, wait=False)
    if life is not None or _daemon(paths):
        return life
    say("waiting for the processes of a daemon that was killed")
    return _until_free(paths, _KILL_TIMEOUT)


def _until_free(paths: Paths, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        life = records.lock(paths.lock, wait=False)
        if life is not None:
            return life
        time.sleep(_POLL)
    return None


def _daemon(paths: Paths) -> int:
    """The pid of the running daemon, or 0."""
    pid = int(records.facts_of(paths).get("pid", 0))
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return pid if file.read().strip() == daemon.COMM else 0
    except FileNotFoundError:
        return 0


def _find_running(paths: Paths, say: Say) -> Up:
    port = int(records.facts_of(paths).get("port", 0))
    deadline = time.monotonic() + _UP_TIMEOUT
    said = False
    while not ask.answers(paths, port):
        if not records.running(paths):
            raise CannotStart(f"the daemon has ended: see {paths.logs}/daemon.log, then try again")
        if time.monotonic() > deadline:
            raise CannotStart(
                "the cluster is running but does not answer: see linnet local logs,"
                " or start afresh: linnet local down && linnet local up"
            )
        if not said:
            say("the cluster is running; waiting until it answers")
            said = True
        time.sleep(5 * _POLL)
    return Up(port, already=True)


def _start(settings: Settings, life: int, say: Say) -> int:
    """Fork the daemon and wait until its processes say that they serve; gives the port of the API."""
    paths = settings.paths
    for directory in (
        paths.run,
        paths.pki,
        paths.logs,
        paths.node,
        paths.scratch,
        paths.memory,
        paths.images,
    ):
        _make_directory(directory)
    os.chmod(paths.images, 0o755)  # noqa: S103 (programs that containers run, as whatever user)
    readable, writable = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        _detach(settings, life, writable)
    os.close(writable)
    os.close(life)  # the daemon has it
    os.waitpid(pid, 0)
    try:
        _wait_ready(readable, set(processes.MAINS), say)
    except OSError as error:
        _stop(paths, say)
        raise CannotStart(f"{error}\n{_last_words(paths)}") from error
    finally:
        os.close(readable)
    return int(records.facts_of(paths)["port"])


def _detach(settings: Settings, life: int, ready: int) -> None:
    """In the child: become the daemon, of nobody's terminal and nobody's session."""
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.umask(0o077)
    daemon.redirect_output(f"{settings.paths.logs}/daemon.log")
    for name in os.listdir("/proc/self/fd"):  # whatever our caller had open
        if int(name) > 2 and int(name) not in (life, ready):
            with contextlib.suppress(OSError):
                os.close(int(name))
    daemon.main(settings, ready)


def _wait_ready(readable: int, missing: set[str], say: Say) -> None:
    """Read the names of processes that serve. Raises OSError when one cannot."""
    deadline = time.monotonic() + _UP_TIMEOUT
    rest = b""
    while missing:
        ready, _, _ = select.select([readable], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"no sign of {' and '.join(sorted(missing))} after {_UP_TIMEOUT:.0f} s")
        data = os.read(readable, 4096)
        if not data:
            raise ChildProcessError("the daemon has ended while starting")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            name = line.decode()
            if name.startswith("!"):
                raise ChildProcessError(f"the {processes.TITLES[name[1:]]} cannot start")
            say(f"{processes.TITLES.get(name, name)} ready")
            missing.discard(name)


def _stop(paths: Paths, say: Say) -> None:
    """End the daemon in good order, else by force; return when nothing of it is left. Raises OSError."""
    pid = _daemon(paths)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    life = _until_free(paths, _DOWN_TIMEOUT)
    if life is None and pid:
        say("the daemon does not end; killing it")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        life = _until_free(paths, _KILL_TIMEOUT)
    if life is None:
        raise OSError(f"some process still holds {paths.lock}: fuser {paths.lock} names it")
    os.close(life)


def _last_words(paths: Paths) -> str:
    """The ends of the logs, where the reason is."""
    words = []
    for name in ("daemon", *processes.MAINS):
        with contextlib.suppress(FileNotFoundError), open(f"{paths.logs}/{name}.log", "rb") as file:
            tail = file.read()[-1500:].decode(errors="replace").rstrip().splitlines()[-8:]
            words += [f"--- {name}", *tail]
    return "\n".join(words)


def _make_directory(path: str) -> None:
    os.makedirs(path, mode=0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise CannotStart(f"{path} is not a directory of yours: remove it")


def _listed(lines: list[str]) -> str:
    return "\n".join(f"  - {line}" for line in lines)
