"""What is said before anything is made."""

import os
import signal
from pathlib import Path

import pytest

from linnet.local import preflight
from linnet.local.paths import Paths

pytestmark = pytest.mark.unit


def refuse() -> None:
    raise PermissionError(1, "Operation not permitted")


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_failed_trial_gives_remedy_and_reason():
    """The remedy comes first, then what the kernel said."""
    assert preflight._tried(refuse, "start it privileged") == "start it privileged (Operation not permitted)"


def test_passed_trial_is_silent_and_leaves_this_process_as_it_was():
    """A trial happens elsewhere."""
    before = os.readlink("/proc/self/ns/mnt")
    assert preflight._tried(lambda: None, "remedy") == ""
    assert os.readlink("/proc/self/ns/mnt") == before


def test_crashed_trial_is_a_failure():
    """A trial that does not come to its end has not passed."""
    assert preflight._tried(crash, "remedy") == "remedy (the trial ended with signal 9)"


def test_long_socket_path(tmp_path: Path):
    """The directory that is too long is named, with the variable to set."""
    found = preflight._socket_path(Paths(str(tmp_path), "/run/" + "x" * 90))
    assert "XDG_RUNTIME_DIR" in found
    assert preflight._socket_path(Paths(str(tmp_path), "/run/user/1000/linnet")) == ""


def test_unwritable_state(tmp_path: Path):
    """A state directory below a file system that takes no files is refused with the variable to set."""
    assert "XDG_STATE_HOME" in preflight._disk(Paths("/proc/self/state", "/run/x"))
