"""Where the defaults of flags come from: flag, then environment, then file."""

import json
from pathlib import Path

import pytest
from tests.cli.calls import Call, Done, called

pytestmark = pytest.mark.wired
__all__ = ["called"]


@pytest.fixture
def run(called: Call, api_server: str) -> Call:
    """The program on an API server."""

    def call(line: str, **environment: str) -> Done:
        return called(line, **{"KUBECONFIG": api_server, **environment})

    return call


def file(tmp_path: Path, text: str) -> str:
    """A home directory with this file of defaults."""
    place = tmp_path / ".istioctl"
    place.mkdir()
    (place / "config.yaml").write_text(text)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("line", "environment", "held", "namespace"),
    [
        ("proxy-status", {}, "", "istio-system"),
        ("proxy-status", {}, "istioNamespace: from-file", "from-file"),
        ("proxy-status", {}, "istionamespace: from-file", "from-file"),
        ("proxy-status", {"ISTIOCTL_ISTIONAMESPACE": "from-env"}, "", "from-env"),
        ("proxy-status", {"ISTIOCTL_ISTIONAMESPACE": "from-env"}, "istioNamespace: from-file", "from-env"),
        (
            "proxy-status -i flag",
            {"ISTIOCTL_ISTIONAMESPACE": "from-env"},
            "istioNamespace: from-file",
            "flag",
        ),
        ("-i flag proxy-status", {"ISTIOCTL_ISTIONAMESPACE": "from-env"}, "", "flag"),
        ("-i before proxy-status -i after", {}, "", "after"),
        ("proxy-status --istioNamespace=flag", {}, "istioNamespace: from-file", "flag"),
    ],
)
def test_precedence(
    run: Call, tmp_path: Path, line: str, environment: dict[str, str], held: str, namespace: str
) -> None:
    """The API server is asked for istiods in this namespace."""
    home = {"HOME": file(tmp_path, held)} if held else {}
    done = run(line, **home, **environment)
    assert done.returncode == 1
    assert f"no running istiod in namespace {namespace}:" in done.stderr


def test_kubeconfig(run: Call, tmp_path: Path) -> None:
    """KUBECONFIG, several files of it, and the flag before it; a file that is none is named."""
    (tmp_path / "none").write_text("- 1\n")
    assert f"{tmp_path}/none: not a kubeconfig" in run("tag list", KUBECONFIG=f"{tmp_path}/none").stderr
    told = run(f"tag list -c {tmp_path}/missing").stderr
    assert f"no kubeconfig at {tmp_path}/missing" in told
    assert "there are: linnet" in run("tag list --context nowhere").stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("istioNamespace: [a", "config.yaml: line 1: not valid YAML"),
        ("- istioNamespace", "config.yaml: expected KEY: VALUE lines"),
        ("istioNamespace: 5", "config.yaml: istioNamespace: 5 is not text"),
        ("xds-port: many", "config.yaml: xds-port: 'many' is not a port number"),
        ("xds-port: 99999", "config.yaml: xds-port: 99999 is not a port number"),
        ("insecure: perhaps", "config.yaml: insecure: 'perhaps' is not true or false"),
    ],
)
def test_broken_file(run: Call, tmp_path: Path, text: str, told: str) -> None:
    """The message names file and field; nothing is done."""
    done = run("tag list", HOME=file(tmp_path, text))
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert done.stderr.startswith(f"Error: {tmp_path}/.istioctl/")


def test_other_file(run: Call, tmp_path: Path) -> None:
    """ISTIOCONFIG names another file; one that is not there is said."""
    (tmp_path / "mine").write_text("istioNamespace: mine\nprefer-experimental: true\nunheard-of: 1\n")
    told = run("proxy-status", ISTIOCONFIG=str(tmp_path / "mine"), HOME=file(tmp_path, "istioNamespace: his"))
    assert "in namespace mine:" in told.stderr
    missing = run("proxy-status", ISTIOCONFIG="/nonexistent")
    assert (missing.returncode, "ISTIOCONFIG=/nonexistent: there is no such file" in missing.stderr) == (
        1,
        True,
    )


def test_environment_is_checked(run: Call) -> None:
    """A variable of the wrong kind is named."""
    done = run("tag list", ISTIOCTL_XDS_PORT="many")
    assert (done.returncode, "ISTIOCTL_XDS_PORT: 'many' is not a port number" in done.stderr) == (1, True)


def test_config_list(run: Call, tmp_path: Path) -> None:
    """Every key with its value and where that is from, as istioctl prints it, and as data."""
    variables = {
        "HOME": file(tmp_path, "istioNamespace: mesh\ninsecure: true"),
        "ISTIOCTL_XDS_ADDRESS": "a:1",
    }
    lines = [line.split() for line in run("x config list", **variables).stdout.splitlines()]
    assert lines[0][:3] == ["FLAG", "VALUE", "FROM"]
    held = {row["flag"]: row for row in json.loads(run("x config list -o json", **variables).stdout)}
    path = f"{tmp_path}/.istioctl/config.yaml"
    assert (held["istioNamespace"]["value"], held["istioNamespace"]["from"]) == ("mesh", path)
    assert (held["insecure"]["value"], held["insecure"]["from"]) == ("true", path)
    assert (held["xds-address"]["value"], held["xds-address"]["from"]) == ("a:1", "$ISTIOCTL_XDS_ADDRESS")
    assert (held["xds-port"]["value"], held["xds-port"]["from"]) == ("15012", "default")
