"""`make demo` ends with 0 only if every step did what the page says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.__main__ import _report
from demo.client import Report
from demo.play import ROOT, Played
from tests.e2e.clusters import NEEDS_ROOT, short_home


@pytest.fixture
def home() -> Iterator[Path]:
    """A short place for state and sockets."""
    with short_home() as folder:
        yield folder


def demo(home: Path, page: str, **variables: str) -> subprocess.CompletedProcess[str]:
    file = home / "page.md"
    file.write_text(page)
    own = {"XDG_STATE_HOME": f"{home}/s", "XDG_RUNTIME_DIR": f"{home}/r", **variables}
    without = {key: value for key, value in os.environ.items() if key not in ("ROLLBACK", "KEEP", "OLDER")}
    return subprocess.run(
        [sys.executable, "-m", "demo", str(file)],
        cwd=ROOT,
        env={**without, **own},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.e2e
@NEEDS_ROOT
@pytest.mark.parametrize(
    ("page", "said"),
    [
        (
            "## Forward\n\n```bash\nkubectl get nodes nobody\necho after\n```\n",
            "The demo stopped: exit code 1",
        ),
        ("## Forward\n\n```bash\necho one\n```\n\n```text\ntwo\n```\n", "not what the page says: echo one"),
        ("## Forward\n\n```bash\necho one\n```\n\n```text\none\n```\n", "the page deploys no example"),
        ("## Forward\n\n```bash\nexit 0\n```\n", "the shell ended during: exit 0"),
    ],
    ids=["exit code", "output", "no load", "shell ended"],
)
def test_a_step_that_fails_ends_the_demo(home: Path, page: str, said: str) -> None:
    """The exit code is not 0, the reason is said, nothing after it is typed, and the cluster is down."""
    done = demo(home, page)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
    assert "\n$ echo after" not in done.stdout
    assert "The cluster is down, its state is removed" in done.stdout
    assert "What to try next" not in done.stdout


@pytest.mark.e2e
@NEEDS_ROOT
def test_without_kubectl_the_thin_client_takes_its_place(home: Path) -> None:
    """The demo says so, and the guide's commands are typed all the same."""
    programs = home / "bin"
    programs.mkdir()
    for name in ("bash", "env", "sh"):
        (programs / name).symlink_to(f"/bin/{name}" if os.path.exists(f"/bin/{name}") else f"/usr/bin/{name}")
    page = "## Forward\n\n```bash\nkubectl get nodes -o name\n```\n\n```text\nnode/node-1\n```\n"
    done = demo(home, page, PATH=str(programs))
    assert "# no kubectl on this machine: linnet kubectl" in done.stdout
    assert "the page deploys no example" in done.stdout, done.stdout + done.stderr


def report(requests: int, failed: int) -> Report:
    return Report(requests, failed, "")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("gateway", "callers", "code"),
    [
        (report(10, 0), {"a": report(5, 0)}, 0),
        (report(10, 1), {"a": report(5, 0)}, 1),
        (report(10, 0), {"a": report(5, 2)}, 1),
        (report(0, 0), {"a": report(5, 0)}, 1),
        (report(10, 0), {}, 1),
    ],
    ids=["none", "at the gateway", "in the mesh", "nothing through the gateway", "nothing in the mesh"],
)
def test_a_failed_request_is_a_failure(gateway: Report, callers: dict[str, Report], code: int) -> None:
    """So is a load that never was."""
    assert _report(Played((), gateway, callers)) == code
