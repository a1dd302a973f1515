"""Flags, exit codes and help of the command line, as scripts meet them."""

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.cli.options import _seconds

pytestmark = pytest.mark.unit


def linnet(
    *args: str, name: str = "linnet", text: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line without a cluster."""
    program = f"import sys; sys.argv[0] = {name!r}; from linnet.cli.__main__ import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *args],
        capture_output=True,
        text=True,
        input=text,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
    )


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["nonsense"], 64, "Error: No such command 'nonsense'."),
        (["install", "--nonsense"], 64, "Error: No such option"),
        (["install", "positional", "-y"], 64, "Error: Got unexpected extra argument"),
        (["install", "--readiness-timeout", "soon"], 64, "is no duration"),
        (["install", "-y", "--set", "nonsense"], 1, "expected path=value"),
        (["install", "-y", "--revision", "Canary"], 1, "Error: invalid revision specified"),
        (["install", "-y", "-f", "/nonexistent.yaml"], 1, "/nonexistent.yaml: No such file"),
        (["install", "-y"], 1, "no cluster to talk to"),
        (["install", "-y", "--kubeconfig", "/nonexistent"], 1, "/nonexistent"),
        (["--kubeconfig", "/nonexistent", "install", "-y"], 1, "/nonexistent"),
        (["local", "images", "add", "thing:1"], 64, "can be added are envoy:X.Y and linnet:VERSION"),
        (["uninstall"], 1, "say what to remove"),
        (["x", "uninstall"], 1, "say what to remove"),
        (["experimental", "uninstall"], 1, "say what to remove"),
    ],
)
def test_mistakes(args: list[str], code: int, told: str) -> None:
    """A message on stderr, the right exit code, never a traceback."""
    done = linnet(*args)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert told in done.stderr
    assert done.stderr.startswith("Error: ")


def test_profiles_are_where_the_guide_names_them() -> None:
    """The file of the guide is the built-in profile."""
    root = Path(__file__).parents[2]
    done = linnet("profile", "dump", "default")
    assert done.stdout == (root / "manifests" / "profiles" / "default.yaml").read_text()


def test_both_names() -> None:
    """Help speaks by the name that was called."""
    assert linnet("--help", name="/usr/bin/istioctl").stdout.startswith("Usage: istioctl ")
    assert linnet("-h").stdout.startswith("Usage: linnet ")


def test_completion() -> None:
    """A script that asks the program itself."""
    assert "_LINNET_COMPLETE" in linnet("completion", "bash").stdout
    offered = linnet(_LINNET_COMPLETE="bash_complete", COMP_WORDS="linnet uni", COMP_CWORD="1").stdout
    assert "uninstall" in offered


def test_help_is_cheap() -> None:
    """Less than 150 ms of CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    linnet("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.15


@pytest.mark.parametrize(("text", "value"), [("5m0s", 300), ("90", 90), ("1h30m", 5400), ("300ms", 0.3)])
def test_durations(text: str, value: float) -> None:
    """Durations as Go writes them, and bare seconds."""
    assert _seconds(text) == pytest.approx(value)


def test_a_request_has_the_time_that_was_asked_for(tmp_path: Path) -> None:
    """An API server that accepts and is silent: the message says for what, and how long, was waited."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "c", "user": {}}],
        }
        file = tmp_path / "config"
        file.write_text(json.dumps(config))
        done = linnet("tag", "list", "-c", str(file), "--kubeclient-timeout", "200ms")
    assert done.returncode == 1
    assert f"{address}: no answer to GET " in done.stderr
    assert "within 0.2 s" in done.stderr
