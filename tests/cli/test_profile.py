"""`profile list|dump|diff` and `verify-install` without an installation."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.wired
Run = Callable[..., subprocess.CompletedProcess[str]]
MINE = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  hub: mine\n"


def test_list(run: Run) -> None:
    """Names for people and for programs."""
    assert "    demo\n" in run("profile", "list").stdout
    assert json.loads(run("profile", "list", "-o", "json").stdout) == ["default", "demo", "empty", "minimal"]


def test_dump(run: Run, tmp_path: Path) -> None:
    """A part of it, as flags, with a file on top."""
    assert run("profile", "dump", "demo", "-p", "components.pilot.k8s.resources").stdout == (
        'requests:\n  cpu: "10m"\n  memory: "100Mi"\n'
    )
    flags = run("profile", "dump", "demo", "-o", "flags", "--config-path", "values").stdout.splitlines()
    assert "values.pilot.autoscaleEnabled=false" in flags
    assert "values.pilot.traceSampling=100" in flags
    (tmp_path / "mine.yaml").write_text(MINE)
    assert "  hub: mine\n" in run("profile", "dump", "-f", str(tmp_path / "mine.yaml")).stdout
    assert "says nothing there" in run("profile", "dump", "-p", "components.nothing").stderr
    assert "unknown profile 'nope'" in run("profile", "dump", "nope").stderr


def test_diff(run: Run, tmp_path: Path) -> None:
    """Names and files; exit code 1 when they differ."""
    done = run("profile", "diff", "default", "demo")
    assert done.returncode == 1
    assert "  + meshConfig: " in done.stdout
    assert "components.egressGateways[istio-egressgateway].enabled: false → true" in done.stdout
    same = run("profile", "diff", "default", "default")
    assert (same.returncode, same.stdout) == (0, "Profiles are identical\n")
    (tmp_path / "mine.yaml").write_text(MINE)
    done = run("profile", "diff", "empty", str(tmp_path / "mine.yaml"), "-o", "json")
    assert {"path": "hub", "old": None, "new": "mine"} in json.loads(done.stdout)
    done = run("profile", "diff", "default", "nope")
    assert (done.returncode, "unknown profile" in done.stderr) == (1, True)


def test_flags_install_the_profile(run: Run) -> None:
    """What `-o flags` prints, given to `--set`, is the profile."""
    flags = run("profile", "dump", "demo", "-o", "flags").stdout.splitlines()
    sets = [part for flag in flags for part in ("--set", flag)]
    wanted = ("manifest", "generate", "--component", "EgressGateways", "--set")
    generated = run(*wanted, "profile=demo").stdout
    assert "istio-egressgateway" in generated
    assert run(*wanted, "profile=empty", *sets).stdout == generated


@pytest.mark.parametrize("args", [[], ["--revision", "canary"]])
def test_nothing_to_verify(run: Run, args: list[str]) -> None:
    """An empty cluster has no installation."""
    done = run("verify-install", *args)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: No Istio installation found")


def test_verify_what_a_file_describes(run: Run, tmp_path: Path) -> None:
    """Each object that is missing is named."""
    (tmp_path / "mine.yaml").write_text(MINE)
    done = run("verify-install", "-f", str(tmp_path / "mine.yaml"))
    assert done.returncode == 1
    assert "✘ Deployment: istiod.istio-system: it does not exist" in done.stdout
    assert done.stderr == "Error: Istio installation failed\n"
