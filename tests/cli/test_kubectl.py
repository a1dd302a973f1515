"""`linnet kubectl`: it takes every command of the guide, and prints what kubectl prints."""

import json
import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from demo.guide import PAGE
from ruamel.yaml import YAML
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, Cluster, cluster

from linnet.cli.faults import UserError
from linnet.cli.kubectl import show
from linnet.cli.kubectl.command import kubectl

_BASH = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def invocations(text: str) -> list[tuple[str, ...]]:
    """The arguments of every kubectl that a page calls, in pipes and substitutions too."""
    found = []
    for block in _BASH.findall(text):
        for line in block.replace("\\\n", " ").replace("$(", " ; ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if set(word) <= set("();<>|&"):
                    if words[:1] == ["kubectl"]:
                        found.append(tuple(words[1:]))
                    words = []
                else:
                    words.append(word)
    return list(dict.fromkeys(found))


def parse(command: click.Command, name: str, words: list[str], parent: click.Context | None = None) -> None:
    """Read arguments as the program would, and do nothing. Raises click.UsageError."""
    context = command.make_context(name, words, parent=parent)
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        found, child, left = command.resolve_command(context, rest)
        assert child is not None
        parse(child, found or "", left, context)


@pytest.mark.unit
def test_calls_are_found_in_a_page() -> None:
    """Behind pipes, inside substitutions and assignments, with their quoted words whole."""
    lines = (
        "x=$(kubectl get pods -o jsonpath='{.a b}' | cat)\nkubectl a | jq '.x | y' | kubectl b -f - || true\n"
    )
    page = f"```bash\n{lines}```\n"
    assert invocations(page) == [
        ("get", "pods", "-o", "jsonpath={.a b}"),
        ("a",),
        ("b", "-f", "-"),
    ]


@pytest.mark.unit
@pytest.mark.parametrize("words", invocations(PAGE.read_text()), ids=" ".join)
def test_the_thin_client_takes_the_guides_commands(words: tuple[str, ...]) -> None:
    """Each verb with each of its flags, where the guide writes them."""
    parse(kubectl, "kubectl", list(words))


@pytest.mark.unit
def test_a_flag_that_it_does_not_know_is_refused() -> None:
    """Or the test above would prove nothing."""
    with pytest.raises(click.UsageError):
        parse(kubectl, "kubectl", ["get", "pods", "--chunk-size=5"])


@pytest.mark.unit
def test_order_by_a_field() -> None:
    """Missing values first, numbers as numbers."""
    rows = [{"n": 10, "name": "c"}, {"n": 9, "name": "b"}, {"name": "a"}]
    assert [row["name"] for row in show.ordered(rows, "{.n}")] == ["a", "b", "c"]
    assert [row["name"] for row in show.ordered(rows, "name")] == ["a", "b", "c"]
    assert show.ordered(rows, "") == rows
    with pytest.raises(UserError, match="--sort-by"):
        show.ordered(rows, ".x[")


@pytest.fixture(scope="module")
def local() -> Iterator[Cluster]:
    """A local cluster of its own."""
    with cluster() as made:
        yield made


THINGS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: linnet/host, command: [sh, -c, "echo hello; exec sleep 1000"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
AGE = re.compile(r"\b\d+[smh]\d*[smh]?\b *")


def real(local: Cluster, *words: str, text: str = "") -> tuple[int, str]:
    done = local.call("kubectl", *words, text=text)
    return done.returncode, AGE.sub("AGE ", done.stdout + done.stderr)


def thin(local: Cluster, *words: str, text: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(kubectl, words, input=text, env=local.variables)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, AGE.sub("AGE ", done.stdout + done.stderr)


@pytest.mark.e2e
@NEEDS_ROOT
@NEEDS_KUBECTL
def test_it_prints_what_kubectl_prints(local: Cluster) -> None:
    """The same words and exit codes for what changes, and for what reads."""
    changes: list[tuple[str, ...]] = [
        ("create", "namespace", "NS"),
        ("create", "namespace", "NS"),
        ("label", "namespace", "NS", "a=1"),
        ("label", "namespace", "NS", "a=2"),
        ("label", "namespace", "NS", "a=2", "--overwrite"),
        ("label", "namespace", "NS", "a-", "b=1"),
        ("label", "namespace", "NS", "c-"),
        ("apply", "-n", "NS", "-f", "-"),
        ("apply", "-n", "NS", "-f", "-"),
        ("apply", "-f", "/nowhere.yaml"),
        ("rollout", "status", "deployment/web", "-n", "NS", "--timeout=100s"),
    ]
    different = differing(local, changes)
    pod = real(local, "get", "pods", "-n", "real", "-o", "name")[1].split()[0]
    for line in (
        "get pods -n real",
        "-n real get pods -l app=web --no-headers",
        "get pods -n real -l app=none",
        "get pods -n real -o wide",
        "get deployments,services -n real",
        "get deploy web -n real -o jsonpath={.spec.replicas}",
        "get svc -n real -l app=web -o name",
        "get pods -n real --sort-by=.metadata.name",
        "get pods -A",
        "get pods -n real -o json",
        "get svc web -n real -o yaml",
        "get deploy missing -n real",
        "get nonsense",
        f"logs -n real {pod}",
        f"logs -n real {pod} -c main --tail 1",
        f"logs -n real {pod} -c other",
        "get mutatingwebhookconfigurations",
        "delete service missing -n real",
    ):
        words = tuple(line.split())
        if not same(thin(local, *words), real(local, *words)):
            different.append(words)
    changes = [
        ("rollout", "restart", "deployment", "-n", "NS"),
        ("rollout", "status", "deployment", "-n", "NS", "--timeout=100s"),
        ("delete", "service", "web", "-n", "NS"),
    ]
    assert different + differing(local, changes) == []


def differing(local: Cluster, changes: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Run each by both clients, in a namespace of its own; those of which code or output differ."""
    return [
        words
        for words in changes
        if not same(
            *(
                as_real(client(local, *(word.replace("NS", name) for word in words), text=THINGS))
                for client, name in ((thin, "thin"), (real, "real"))
            ),
            last_line=words[:2] == ("rollout", "status"),  # what it saw meanwhile differs
        )
    ]


def as_real(result: tuple[int, str]) -> tuple[int, str]:
    return result[0], result[1].replace("thin", "real")


def same(ours: tuple[int, str], theirs: tuple[int, str], *, last_line: bool = False) -> bool:
    mine, other = ours[1], theirs[1]
    if last_line:
        mine, other = mine.strip().splitlines()[-1], other.strip().splitlines()[-1]
    if mine.startswith("apiVersion:"):  # YAML may be written in more than one way
        mine, other = (json.dumps(YAML(typ="safe").load(text), indent=1) for text in (mine, other))
    if (ours[0], mine) != (theirs[0], other):
        print(f"--- thin, code {ours[0]}\n{mine}--- real, code {theirs[0]}\n{other}")
    return (ours[0], mine) == (theirs[0], other)
