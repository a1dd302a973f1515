"""The ways in which scripts call istioctl: order of arguments, short flags, other names, exit codes.

What takes a cluster is in tests/e2e/test_calling.py; where defaults come from in test_defaults.py.
"""

import re
from pathlib import Path

import click
import pytest
from tests.cli.calls import REACHED, Call, called

from linnet.cli.__main__ import linnet as root
from linnet.cli.defaults import KEYS
from linnet.cli.groups import ABSENT, SAME

pytestmark = pytest.mark.unit
__all__ = ["called"]
PAGE = Path(__file__).parents[2] / "docs" / "calling.md"
ISTIOCTL = Path(__file__).with_name("istioctl-commands.txt")

UNDERSTOOD = {
    "uninstall": """
        uninstall --revision 1-0-0
        uninstall --revision=1-0-0 -y
        uninstall -r 1-0-0 --skip-confirmation
        uninstall -r=1-0-0 -y=true
        uninstall -r1-0-0 --dry-run=true --purge=false
        uninstall --set revision=1-0-0
        uninstall -s revision=1-0-0
        uninstall --set=values.revision=1-0-0
        uninstall -f manifests/profiles/default.yaml
        uninstall --filename manifests/profiles/default.yaml -v
        uninstall -f manifests/profiles/default.yaml --revision 1-0-0
        uninstall --purge -y
        uninstall --purge=true --skip-confirmation=true
        uninstall -r 1-0-0 --dry-run --force -d manifests
        uninstall --charts manifests -r 1-0-0
        x uninstall --revision 1-0-0
        exp uninstall --revision=canary
        experimental uninstall --revision=canary
    """,
    "flags of every command, before and after its name": """
        -i istio-system x uninstall --revision 1-0-0
        x -i istio-system uninstall --revision 1-0-0
        x uninstall --revision 1-0-0 -i istio-system
        --context c uninstall -r 1-0-0
        uninstall -r 1-0-0 --context c
        uninstall -r 1-0-0 --kubeclient-timeout 30s --vklog 1
        tag list --log_output_level=all:debug --log_as_json --log_target stderr
        -n shop tag list
        -n=shop tag list
        tag -n shop list
        tag list -n shop
        tag list -nshop
        tag list --as jane
        --as jane --as-group a tag list --as-group b --as-uid 7
    """,
    "tag": """
        tag list
        tag show
        tag list -o json
        tag list -oyaml
        x tag list
        x revision tag list
        revision tag list
        tag set prod --revision 1-0-0
        tag set --revision 1-0-0 prod
        tag set prod -r 1-0-0 --overwrite -y
        tag set --overwrite=true prod -r 1-0-0
        tag set default -r 1-0-0 --overwrite --skip-confirmation
        tag set prod -r 1-0-0 --webhook-name mine -d manifests
        tag set default -r 1-0-0 --auto-inject-namespaces
        x revision tag set prod -r 1-0-0
        tag generate prod -r 1-0-0
        tag generate prod --revision 1-0-0 --overwrite -y
        tag remove prod
        tag remove prod -y
        tag delete prod -y
        x revision tag remove prod -y
    """,
    "install": """
        install -y -r canary
        install -y=true --revision=canary --dry-run=false
        apply --skip-confirmation --revision canary
        manifest install -y
        manifest apply -y
        upgrade -y
        install --set profile=minimal -s revision=canary -y --verify
        manifest generate --cluster-specific
    """,
    "revisions and gateways": """
        x revision list
        x revision list -v -o json
        x revision describe canary
        revision describe canary -v
        revision list
        gateway list -o yaml
        gateway move --to canary
        gateway move istio-ingressgateway edge.edge --to=canary --dry-run
    """,
    "looking": """
        ps
        x ps
        proxy-status -r canary
        proxy-status web.shop -v 1 --proxy-admin-port 15000
        proxy-status --xds-label istio.io/rev=canary --timeout 5s --xds-port 15012 --insecure --plaintext
        pc cluster web.shop
        pc -o json c deploy/web.shop
        pc --proxy-admin-port 15000 a web.shop --fqdn web --port 80 --direction outbound --verbose=false
        proxy-config endpoints web -n shop
        describe pod web.shop
        x des po web -n shop --ignoreUnmeshed
        admin log
        istiod l -r canary -o json
        admin -l app=istiod log --level default:debug --stack-trace-level default:none
        x precheck
        x precheck -f 1.20 --skip-controlplane
        x injector list
        x check-inject web -n shop
        x check-inject web.shop
        x check-inject -n shop -l app=web,istio.io/rev=canary
        kube-inject -f examples/app.yaml
        kube-inject -f examples/app.yaml -r canary --injectConfigMapName x --meshConfigMapName istio
    """,
}
LINES = [line.strip() for block in UNDERSTOOD.values() for line in block.strip().splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_understood(called: Call, line: str) -> None:
    """Every spelling reaches the cluster, of which there is none here: exit code 1, one line on stderr."""
    done = called(line)
    assert (done.returncode, done.stderr.startswith("Error: ")) == (1, True), done.stderr
    assert REACHED in done.stderr


def rows(title: str) -> list[tuple[str, ...]]:
    """The rows of the table below a heading of the page, without code marks."""
    section = PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [tuple(cell.strip().replace("`", "") for cell in line.strip("|").split("|")) for line in lines]


@pytest.mark.parametrize(("line", "code", "told"), rows("Exit codes, by example"))
def test_exit_codes(called: Call, line: str, code: str, told: str) -> None:
    """The page's examples end so; a mistake is one message on stderr, never a traceback."""
    done = called(line.removeprefix("linnet"))
    assert done.returncode == int(code), done.stderr
    assert told in (done.stderr if done.returncode else done.stdout)
    assert done.stderr.startswith("Error: ") == bool(done.returncode)
    assert "Traceback" not in done.stderr


def test_commands_of_istioctl_are_here_or_explained(called: Call) -> None:
    """Each command, each other name, each flag that istioctl lists is known, or its command is refused."""
    missing, refused = [], set()
    for line in ISTIOCTL.read_text().splitlines():
        if line.startswith("#"):
            continue
        command, _, flags = line.partition(":")
        path, _, others = command.partition(" = ")
        words = path.split()
        lacking = next(
            (word for word in words if word in ABSENT and find(words[: words.index(word) + 1]) is None), ""
        )
        if lacking:
            refused.add(" ".join(words[: words.index(lacking) + 1]))
            refused |= {" ".join([*words[:-1], name]) for name in others.split() if lacking == words[-1]}
            continue
        for name in (words[-1], *others.split()):
            found = find([*words[:-1], name])
            if found is None:
                missing.append(" ".join([*words[:-1], name]))
                continue
            known = {opt for param in found.params for opt in param.opts}
            missing += [
                f"{path} {flag}" for word in flags.split() for flag in word.split("/") if flag not in known
            ]
    assert missing == ["completion powershell"]
    for name in sorted(refused):
        done = called(name)
        assert done.returncode == 64
        assert "istioctl has it, Linnet does not; " in done.stderr
    assert {row[0] for row in rows("Commands of istioctl that are not here")} == {
        name for name in ABSENT if find([name]) is None and find(["x", name]) is None
    }


def find(words: list[str]) -> click.Command | None:
    """The command of these words."""
    command: click.Command | None = root
    for word in words:
        if not isinstance(command, click.Group):
            # `completion bash`: the shell is an argument
            return command if isinstance(command, click.Command) and _takes(command, word) else None
        command = command.get_command(click.Context(command), word)
    return command


def _takes(command: click.Command, word: str) -> bool:
    choices = (p.type.choices for p in command.params if isinstance(p.type, click.Choice))
    return any(word in found for found in choices)


def test_every_absent_command_names_one_that_exists() -> None:
    """What is to be done instead exists."""
    for name, instead in ABSENT.items():
        named = re.findall(r"see ([a-z-]+(?: [a-z-]+)?)", instead)
        assert named, name
        for text in named:
            words = text.split()
            assert find(words) or find(words[:1]), f"{name}: {text}"
    assert set(SAME.values()) <= set(ABSENT)


@pytest.mark.parametrize(
    "command",
    [
        "uninstall",
        "tag list",
        "tag set",
        "tag generate",
        "tag remove",
        "revision list",
        "revision describe",
        "gateway list",
        "gateway move",
        "kube-inject",
        "proxy-status",
        "version",
        "admin log",
        "x describe pod",
        "x config list",
        "x check-inject",
        "x injector list",
    ],
)
def test_help_teaches(called: Call, command: str) -> None:
    """Every command's help has an example that can be typed; `help COMMAND` is the same."""
    done = called(f"{command} --help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    name = command.removeprefix("x ")
    assert f"linnet {name}" in done.stdout or f"linnet x {name}" in done.stdout
    assert called(f"help {command}").stdout == done.stdout


def test_page_has_every_shared_flag(called: Call) -> None:
    """The page's table of shared flags is what `linnet options` lists, and `--help`."""
    flags = {flag for row in rows("Flags of every command") for flag in row[0].split(", ")}
    known = {flag for param in root.params for flag in param.opts if not getattr(param, "hidden", False)}
    assert flags == known | {"-h", "--help"}
    listed = called("options").stdout
    assert all(flag in listed for flag in known)


def test_page_has_every_key() -> None:
    """The page's table of keys is that of the program."""
    held = [(key.name, key.variable, key.usual) for key in KEYS]
    assert [row[:3] for row in rows("Defaults")] == held


@pytest.mark.parametrize(("name", "others"), rows("Commands under several names"))
def test_other_names(name: str, others: str) -> None:
    """Each other name of the page is the same command."""
    command, _, below = others.partition("; below it ")
    for other in command.split(", "):
        assert find(other.split()) is find(name.split()), other
    for other in filter(None, below.split(", ")):
        assert find([*name.split(), other.partition(" ")[0]]), other
