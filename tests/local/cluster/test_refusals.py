"""A machine that cannot run a cluster: `up` says why and what to do, exits with 1, and makes nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnet.local import preflight
from linnet.local.paths import Paths

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes file systems and drops rights: run as root"),
    pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv and unshare: install util-linux"),
]
UP = f"{sys.executable} -m linnet.cli local up"
# modules first: another user may not be able to read them
AS_NOBODY = """
import os, sys
import linnet.cli.local, linnet.local.lifecycle, linnet.local.preflight, linnet.local.records
from linnet.cli.faults import explain
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
with explain():
    linnet.cli.local.local(["up"], standalone_mode=False)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of anybody's, with places for state and sockets in it."""
    with tempfile.TemporaryDirectory(prefix="lr-") as name:
        home = Path(name)
        home.chmod(0o777)
        if found := preflight.problems(Paths(f"{home}/s/linnet/local", f"{home}/r/linnet")):
            pytest.skip(found[0])
        yield home


def shell(home: Path, script: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "XDG_STATE_HOME": f"{home}/s", "XDG_RUNTIME_DIR": f"{home}/r"}
    command = ["unshare", "--mount", "sh", "-c", script]
    return subprocess.run(
        command,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def made(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("Error: this machine cannot run a local cluster:\n")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("place", "size", "words"),
    [
        ("s", "size=64m", ("MB are needed", "XDG_STATE_HOME")),
        ("s", "size=1g,nr_inodes=100", ("free inodes", "remove files")),
        ("s", "ro", ("read-only", "XDG_STATE_HOME")),
        ("r", "ro", ("read-only", "XDG_RUNTIME_DIR")),
    ],
    ids=["full disk", "no inodes", "read-only state", "read-only sockets"],
)
def test_disk(home: Path, place: str, size: str, words: tuple[str, ...]) -> None:
    """A disk that is full or read-only is named, with the variable that names another one."""
    for name in "sr":
        (home / name).mkdir()
    script = (
        f"mount -t tmpfs -o {size} none {home}/{place} && {UP}; code=$?; find {home} -mindepth 2; exit $code"
    )
    done = shell(home, script)
    refused(done, f"{home}/{place}", *words)
    assert done.stdout == ""
    assert made(home) == ["r", "s"]


def test_another_user(home: Path) -> None:
    """Who has no rights is told how to get them."""
    done = shell(home, f"{sys.executable} -c '{AS_NOBODY}'")
    refused(done, "run it as root (sudo ")
    assert made(home) == []


@pytest.mark.parametrize("right", ["sys_admin", "net_admin"])
def test_root_without_rights(home: Path, right: str) -> None:
    """A container that was started with fewer rights: the missing ones are named."""
    done = shell(home, f"setpriv --bounding-set=-{right} --inh-caps=-{right} {UP}")
    refused(done, f"CAP_{right.upper()}", "start it privileged")
    assert made(home) == []


def test_no_more_namespaces(home: Path) -> None:
    """A kernel that gives no namespace: the settings are named."""
    allowed = subprocess.run(
        ["unshare", "--user", "--map-root-user", "true"], check=False, capture_output=True
    )
    if allowed.returncode:
        pytest.skip("this machine allows no user namespace, in which the limit could be set")
    limit = "echo 0 > /proc/sys/user/max_net_namespaces"
    done = shell(home, f"unshare --user --map-root-user sh -c '{limit} && {UP}'")
    refused(done, "max_net_namespaces", "No space left on device")
    assert made(home) == []


def test_a_path_too_long_for_sockets(home: Path) -> None:
    """The variable that shortens it is named."""
    done = shell(home, f"XDG_RUNTIME_DIR={home}/{'x' * 90} {UP}")
    refused(done, "too long for the path of a socket", "XDG_RUNTIME_DIR")
    assert made(home) == []


def test_a_catalogue_that_is_not_there(home: Path) -> None:
    """The option and the file are named; nothing is made."""
    done = shell(home, f"{UP} --images {home}/missing.yaml")
    assert done.returncode == 65
    assert done.stderr == f"Error: --images {home}/missing.yaml: No such file or directory\n"
    assert made(home) == []
