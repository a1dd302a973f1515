"""Ways of calling that take a cluster: prompts, interrupts, completion, flags that people rarely give."""

import json
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import pytest
from tests.e2e.asking import SYSTEM, dangling, injector, pod, stored
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until

from linnet.install.lock import NAME as LOCK
from linnet.kube.client import Client, Object
from linnet.kube.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    DEPLOYMENT,
    LEASE,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
)
from linnet.upgrade.retirement import PURGED

pytestmark = [pytest.mark.e2e, NEEDS_ROOT]
MINIMAL = ("--set", "profile=minimal", "-y")
Space = Callable[..., object]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A cluster with the revision 1-0-0."""
    with cluster() as made:
        made.linnet("install", "--revision", "1-0-0", *MINIMAL)
        yield made


@pytest.fixture(scope="module")
def both(mesh: Cluster) -> Cluster:
    """With the revision canary beside it."""
    mesh.linnet("install", "--revision", "canary", *MINIMAL)
    return mesh


def _heeds_interrupts() -> None:
    """As in a terminal: a shell has its background jobs, and so these tests, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(mesh: Cluster, *args: str, typed: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """A running command whose input stays open."""
    with subprocess.Popen(
        ["linnet", *args],
        env=mesh.variables,
        preexec_fn=_heeds_interrupts,
        stdin=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(stream: IO[bytes] | None, until_it_says: str) -> str:
    """What is printed up to some words; fails if the output ends before."""
    assert stream is not None
    told = b""
    while until_it_says.encode() not in told:
        piece = os.read(stream.fileno(), 4096)
        assert piece, f"ended without {until_it_says!r}: {told.decode()}"
        told += piece
    return told.decode()


def interrupted(process: subprocess.Popen[bytes]) -> str:
    """Press Ctrl-C; what is printed then. The exit code is that of an interrupt, and nothing is dumped."""
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 130, told
    assert "Traceback" not in told
    return told


async def test_interrupted_install(mesh: Cluster, client: Client) -> None:
    """The lock is given back, and the same command completes it."""
    with started(mesh, "install", "--revision", "canary", *MINIMAL) as process:
        said(process.stdout, "Waiting for Deployment/istio-system/istiod-canary")
        assert await stored(client, LEASE, LOCK, SYSTEM)
        interrupted(process)
    assert not await stored(client, LEASE, LOCK, SYSTEM)
    mesh.linnet("install", "--revision", "canary", *MINIMAL)
    assert await stored(client, DEPLOYMENT, "istiod-canary", SYSTEM)


async def test_interrupted_question(both: Cluster, client: Client) -> None:
    """The first Ctrl-C ends it; nothing is removed, no lock is left."""
    with started(both, "uninstall", "--purge") as process:
        said(process.stdout, "Proceed? (y/N) ")
        interrupted(process)
    assert await stored(client, DEPLOYMENT, "istiod-canary", SYSTEM)
    assert not await stored(client, LEASE, LOCK, SYSTEM)


async def test_answers(both: Cluster, client: Client, space: Space) -> None:
    """Yes removes; no, the end of input, and no input at all do not; a terminal is asked likewise."""
    both.linnet("tag", "set", "asked", "--revision", "1-0-0")
    await space(rev="asked")  # type: ignore[misc]
    question, remove = "Proceed with operation? [y/N] ", ("tag", "remove", "asked")
    for answer in ("", "n\n", "\n", "perhaps\n"):
        done = both.attempt(*remove, answer=answer)
        assert (done.returncode, "Aborting operation." in done.stdout) == (0, True), answer
        assert question in done.stdout
    done = both.call("bash", "-c", "linnet tag remove asked <&-")
    assert (done.returncode, "Aborting operation." in done.stdout, done.stderr) == (0, True, "")
    assert await stored(client, MUTATING_WEBHOOK, "istio-revision-tag-asked")
    ours, theirs = pty.openpty()
    with started(both, *remove, typed=theirs) as process:
        os.close(theirs)
        said(process.stdout, question)
        os.write(ours, b"perhaps\n")
        said(process.stdout, question)
        os.write(ours, b"yes\n")
        said(process.stdout, "Revision tag asked removed")
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert not await stored(client, MUTATING_WEBHOOK, "istio-revision-tag-asked")


def offered(mesh: Cluster, *words: str) -> list[str]:
    """What bash offers for the last of the words of a line, by the script that `completion bash` prints."""
    script = """
source <(linnet completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
function=$(complete -p linnet | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$function linnet
printf '%s\\n' "${COMPREPLY[@]}"
"""
    patient = ("--kubeclient-timeout", "60s")
    done = mesh.call("bash", "-c", script, "bash", "linnet", *patient, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


async def test_completion(both: Cluster, client: Client) -> None:
    """Bash offers commands, and what the cluster has: revisions, tags, namespaces, gateways."""
    both.linnet("tag", "set", "prod", "--revision", "1-0-0")
    labels = {"app": "entrance"}
    template = {
        "metadata": {"labels": labels, "annotations": {"inject.istio.io/templates": "gateway"}},
        "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]},
    }
    entrance = {
        "metadata": {"name": "entrance", "namespace": "default"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
    await client.create(DEPLOYMENT, entrance)
    try:
        assert offered(both, "uninstall", "--revision", "") == ["1-0-0", "canary"]
        assert offered(both, "x", "uninstall", "-r", "can") == ["canary"]
        assert offered(both, "tag", "remove", "") == ["default", "prod"]
        assert offered(both, "proxy-status", "-n", "istio-") == ["istio-system"]
        assert offered(both, "gateway", "move", "--to", "canary", "") == ["entrance.default"]
        assert offered(both, "-c", "/nonexistent", "uninstall", "-r", "") == []
    finally:
        await client.delete(DEPLOYMENT, "entrance", "default")
        both.linnet("tag", "remove", "prod", "-y")


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh: install it by this name")
def test_completion_in_zsh(both: Cluster) -> None:
    """The script of zsh asks the same; what zsh would show is printed instead."""
    script = """
compdef() { : }
_describe() { print -l -- "${completions_with_descriptions[@]}" }
compadd() { print -l -- "${completions[@]}" }
source <(linnet completion zsh)
words=(linnet --kubeclient-timeout 60s uninstall --revision "") CURRENT=6
_linnet_completion
"""
    done = both.call("zsh", "-f", "-c", script)
    assert (done.stdout.split(), done.stderr) == (["1-0-0", "canary"], "")


async def test_generated_tag_under_another_name(both: Cluster, client: Client) -> None:
    """`--webhook-name` names the webhook; the tag is listed and removed as any other."""
    made = both.linnet("tag", "generate", "prod", "--revision", "canary", "--webhook-name", "mine")
    assert "\n  name: mine\n" in made
    applied = both.call("linnet", "kubectl", "apply", "-f", "-", text=made)
    assert applied.returncode == 0, applied.stderr
    assert "prod    canary" in both.linnet("tag", "list")
    both.linnet("tag", "remove", "prod", "-y")
    assert not await stored(client, MUTATING_WEBHOOK, "mine")


async def test_injection_of_what_has_no_label(both: Cluster, client: Client, space: Space) -> None:
    """`--auto-inject-namespaces` injects it; setting the tag again without the flag ends that."""
    name = await space()  # type: ignore[misc]
    assert await injector(client, name) == ""
    both.linnet("tag", "set", "default", "-r", "1-0-0", "--overwrite", "--auto-inject-namespaces")
    assert await injector(client, name) == "1-0-0"
    assert await injector(client, "kube-system") == ""
    both.linnet("tag", "set", "default", "-r", "1-0-0", "--overwrite")
    assert await injector(client, name) == ""


def grants(resource: str, *verbs: str) -> Object:
    """A rule about pods."""
    return {"apiGroups": [""], "resources": [resource], "verbs": list(verbs)}


async def test_impersonated_port_forward(both: Cluster, client: Client) -> None:
    """Istiods are asked as the user of `--as`: without the right to port-forwards none answers."""
    role = {"metadata": {"name": "viewer"}, "rules": [grants("pods", "list")]}
    binding = {
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}],
    }
    await client.create(CLUSTER_ROLE, role)
    await client.create(CLUSTER_ROLE_BINDING, binding)
    refused = both.attempt("proxy-status", "--as", "viewer")
    assert refused.returncode == 1
    assert "it takes the rights to get and create pods/portforward" in refused.stderr
    more = {"rules": [grants("pods", "list"), grants("pods/portforward", "get", "create")]}
    await client.patch(CLUSTER_ROLE, "viewer", "", more)
    assert both.attempt("proxy-status", "--as", "viewer").returncode == 0


def test_levels_of_logs(both: Cluster) -> None:
    """`admin log` changes the istiods of one revision, and shows those of all."""

    def levels() -> dict[str, str]:
        rows = json.loads(both.linnet("admin", "log", "-o", "json"))
        return {row["istiod"].rsplit("-", 2)[0]: row["log_level"] for row in rows}

    both.linnet("admin", "log", "--revision", "canary", "--level", "default:warn")
    assert levels() == {"istiod-1-0-0": "info", "istiod-canary": "warn"}
    assert both.linnet("admin", "log", "-r", "canary").splitlines()[1].split()[-2:] == ["warn", "none"]
    assert both.attempt("admin", "log", "--level", "nothing:warn").returncode == 1
    both.linnet("admin", "log", "--reset")
    assert levels() == {"istiod-1-0-0": "info", "istiod-canary": "info"}


def waiting_pod(name: str, namespace: str) -> Object:
    """A pod that no node takes: it is injected, and never runs."""
    made = pod(namespace)
    made["metadata"]["name"] = name
    made["spec"]["nodeSelector"] = {"nowhere": "yes"}
    return made


async def test_thirty_users_are_named_and_more_are_counted(
    both: Cluster, client: Client, space: Space
) -> None:
    """Beyond 30 proxies it says how many there are in which namespace."""
    crowd = str(await space(rev="canary"))  # type: ignore[misc]
    for number in range(31):
        await client.create(POD, waiting_pod(f"one-{number}", crowd))
    many = both.attempt("uninstall", "--revision", "canary", answer="y\n")
    assert many.returncode == 1
    assert "There are still 31 proxies pointing to the control plane revision canary" in many.stderr
    assert f"31 in namespace {crowd}" in many.stderr
    assert "one-7" not in many.stderr
    await client.delete(POD, "one-30", crowd, grace_seconds=0)
    few = both.attempt("uninstall", "--revision", "canary", answer="y\n")
    assert few.returncode == 1
    assert "There are still 30 proxies pointing to the control plane revision canary" in few.stderr
    assert all(f"pod one-{number}.{crowd}:" in few.stderr for number in range(30))
    for number in range(30):
        await client.delete(POD, f"one-{number}", crowd, grace_seconds=0)


async def test_set_revision_removes_that_revision_only(both: Cluster, client: Client) -> None:
    """`uninstall --set revision=` (hazard H16): istioctl would take every revision of the namespace."""
    both.linnet("uninstall", "--set", "revision=canary", "-y")
    assert not await stored(client, DEPLOYMENT, "istiod-canary", SYSTEM)
    assert not await stored(client, MUTATING_WEBHOOK, "istio-sidecar-injector-canary")
    for kind, name in ((DEPLOYMENT, "istiod-1-0-0"), (SERVICE, "istiod-1-0-0")):
        assert await stored(client, kind, name, SYSTEM)
    assert await stored(client, MUTATING_WEBHOOK, "istio-sidecar-injector-1-0-0")


async def test_purge(mesh: Cluster, client: Client, space: Space) -> None:
    """Users are named before it asks; the end of input is no; afterwards only what is the users' is left."""
    shop = str(await space(rev="1-0-0"))  # type: ignore[misc]
    await client.create(POD, waiting_pod("web", shop))
    mesh.linnet("tag", "set", "mine", "--revision", "1-0-0")
    declined = mesh.attempt("uninstall", "--purge")
    assert declined.returncode == 1
    before, question, after = declined.stdout.partition("Proceed? (y/N)")
    assert "There are still 1 proxies pointing to the control plane revision 1-0-0" in before
    assert f"pod web.{shop}: " in before
    assert question
    assert after.split() == ["Cancelled."]
    assert await stored(client, DEPLOYMENT, "istiod-1-0-0", SYSTEM)
    done = mesh.attempt("uninstall", "--purge", answer="yes\n")
    assert (done.returncode, "✔ Uninstall complete" in done.stdout) == (0, True), done.stderr
    for kind in PURGED:
        left = (await client.list(kind, labels="operator.istio.io/component")).items
        assert not left, kind
    names = {
        kind.plural: {obj["metadata"]["name"] for obj in (await client.list(kind, SYSTEM)).items}
        for kind in (CONFIG_MAP, SECRET, SERVICE, DEPLOYMENT)
    }
    locks = {name for name in names["configmaps"] if name == "istio-leader" or name.endswith("-election")}
    assert names.pop("configmaps") - locks <= {"istio-ca-root-cert", "kube-root-ca.crt"}
    assert names == {"secrets": {"istio-ca-secret"}, "services": set(), "deployments": set()}
    assert await stored(client, NAMESPACE, SYSTEM)
    assert await dangling(client) == []
    await until(lambda: _gone(client))
    assert await injector(client, shop) == ""


async def _gone(client: Client) -> bool:
    """Whether no istiod runs any more."""
    return not (await client.list(POD, SYSTEM)).items
