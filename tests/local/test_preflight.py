"""What is said before anything is made."""

import os
import signal
from pathlib import Path

import pytest

from linnet.local import preflight
from linnet.local.paths import Paths

pytestmark = pytest.mark.unit


def refuse() -> None:
    raise OSError(95, "Operation not supported")


def forbid() -> None:
    raise PermissionError(1, "Operation not permitted")


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_failed_trial_gives_remedy_and_reason():
    """The remedy comes first, then what the kernel said."""
    assert preflight._tried(refuse, "load the module") == "load the module (Operation not supported)"


def test_a_right_that_is_missing_is_not_taken_for_a_module():
    """The remedy is the right, whatever was tried."""
    said = preflight._tried(forbid, "load the module")
    assert "CAP_NET_ADMIN" in said
    assert "load the module" not in said


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
    assert "XDG_STATE_HOME" in preflight._disk("/proc/self/state")


def test_a_file_where_a_directory_should_be(tmp_path: Path):
    """It is named, with the variable to set."""
    (tmp_path / "file").touch()
    said = preflight._writable(f"{tmp_path}/file/linnet", "XDG_RUNTIME_DIR")
    assert said == f"{tmp_path}/file is not a directory: set XDG_RUNTIME_DIR to a directory of yours"
