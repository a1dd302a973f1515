"""Tags on a cluster: the default moves whole or not at all, and a death at any write harms nobody."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster
from tests.e2e.killing import killed, works
from tests.e2e.rights import restricted

from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.kinds import (
    DEPLOYMENT,
    MUTATING_WEBHOOK,
    NAMESPACE,
    SERVICE,
    VALIDATING_WEBHOOK,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), NEEDS_ROOT]
SYSTEM = "istio-system"
INJECTED, TAGGED, SPARE = "shop", "tagged", "spare"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """An un-revisioned default and a canary, without gateways; a namespace for the default, one for a tag."""
    with cluster() as made:
        made.linnet("install", "--set", "profile=minimal", "-y")
        made.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
        made.linnet("tag", "set", "prod", "--revision", "canary")
        for name, label in ((INJECTED, "istio-injection=enabled"), (TAGGED, "istio.io/rev=prod")):
            made.linnet("kubectl", "create", "namespace", name)
            made.linnet("kubectl", "label", "namespace", name, label)
        yield made


@pytest.fixture
async def client(mesh: Cluster) -> AsyncIterator[Client]:
    """The cluster's administrator."""
    async with Client(from_kubeconfig(mesh.kubeconfig)) as client:
        yield client


async def test_default_killed_after_every_write(mesh: Cluster, client: Client) -> None:
    """There, away, and back by itself: pods are created and injected, objects accepted, all the time."""
    assert await works(client, INJECTED) == {"default"}
    deaths = 0
    while killed(mesh, "tag", "set", "default", "--revision", "canary", "--overwrite"):
        deaths += 1
        assert await works(client, INJECTED) <= {"default", "canary"}
    assert await works(client, INJECTED) == {"canary"}
    assert deaths == 4, "the Service, the validator, the tag, the history of those who died"
    while killed(mesh, "tag", "remove", "default", "-y", nothing="there is no such tag"):
        deaths += 1
        assert await works(client, INJECTED) <= {"default", "canary"}
    # the un-revisioned plane injects by itself again, as it would without tags
    assert await works(client, INJECTED) == {"default"}
    assert deaths == 9, "the injector, the validator, the Service, the tag, the history"
    while killed(mesh, "tag", "set", "default", "--revision", "default"):
        deaths += 1
        assert await works(client, INJECTED) == {"default"}
    assert deaths == 14
    hook = await client.get(MUTATING_WEBHOOK, "istio-sidecar-injector")
    assert all("matchLabels" in entry["namespaceSelector"] for entry in hook["webhooks"])


async def test_a_tag_killed_after_every_write(mesh: Cluster, client: Client) -> None:
    """Made, moved, removed: the namespace that carries it creates pods throughout; nothing stays half."""
    await client.create(NAMESPACE, {"metadata": {"name": SPARE, "labels": {"istio.io/rev": "spare"}}})

    async def deaths(*command: str, among: set[str], nothing: str = "\0") -> int:
        count = 0
        while killed(mesh, "tag", *command, nothing=nothing):
            count += 1
            assert await works(client, SPARE) <= among
        return count

    assert await works(client, SPARE) == {""}
    assert await deaths("set", "spare", "--revision", "canary", among={"", "canary"}) > 0
    assert await works(client, SPARE) == {"canary"}
    moved = ("set", "spare", "--revision", "default", "--overwrite")
    assert await deaths(*moved, among={"default", "canary"}) > 0
    assert await works(client, SPARE) == {"default"}
    removed = ("remove", "spare", "-y")
    assert await deaths(*removed, among={"default", ""}, nothing="there is no such tag") > 0
    assert await works(client, SPARE) == {""}
    for kind in (SERVICE, MUTATING_WEBHOOK):
        assert [obj for obj in (await client.list(kind)).items if "spare" in obj["metadata"]["name"]] == []
    await client.delete(NAMESPACE, SPARE)


# all that `tag set default` does, but for its last step
HALF = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["*"],
        "resources": ["services", "validatingwebhookconfigurations", "leases"],
        "verbs": ["*"],
    },
]


async def test_a_default_that_fails_half_way_stays(mesh: Cluster, client: Client, tmp_path: Path) -> None:
    """What was changed before the refusal is as it was: the tag, its Service and the validator agree."""
    half = await restricted(mesh, client, "half", HALF, tmp_path)
    failed = half.attempt("tag", "set", "default", "--revision", "canary", "--overwrite")
    assert failed.returncode == 1
    assert "the default stays where it was" in failed.stderr
    validator = await client.get(VALIDATING_WEBHOOK, "istiod-default-validator")
    assert validator["webhooks"][0]["clientConfig"]["service"]["name"] == "istiod"
    assert validator["metadata"]["labels"]["istio.io/rev"] == "default"
    service = await client.get(SERVICE, "istiod-revision-tag-default", SYSTEM)
    assert service["spec"]["selector"] == {"app": "istiod", "istio": "pilot"}
    assert await works(client, INJECTED) == {"default"}


async def test_users_of_a_tag_are_named_before_it_goes(mesh: Cluster, client: Client) -> None:
    """Namespaces and workloads, those that are scaled to nothing too; end of input is no and exit code 0."""
    deployment: dict[str, Any] = {
        "metadata": {"name": "asleep", "namespace": "default"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "asleep"}},
            "template": {
                "metadata": {"labels": {"app": "asleep", "istio.io/rev": "prod"}},
                "spec": {"containers": [{"name": "main", "image": "linnet/echo"}]},
            },
        },
    }
    await client.create(DEPLOYMENT, deployment)
    declined = mesh.attempt("tag", "remove", "prod")
    assert declined.returncode == 0
    assert f'1 namespace(s) still injected by tag "prod": {TAGGED}' in declined.stdout
    assert '1 workload(s) still injected by tag "prod": deployment/asleep.default' in declined.stdout
    assert declined.stdout.endswith("Aborting operation.\n")
    refused = mesh.attempt("uninstall", "--revision", "canary")
    assert refused.returncode == 1
    for told in (
        "tag prod: it calls Service istiod-canary",
        f"namespace {TAGGED}",
        "deployment asleep.default",
    ):
        assert told in refused.stderr
    assert "(0 replicas)" in refused.stderr
    await client.delete(DEPLOYMENT, "asleep", "default")


async def test_an_injector_that_is_missing(mesh: Cluster, client: Client) -> None:
    """A revision whose injector is managed elsewhere can be tagged."""
    kept = await client.get(MUTATING_WEBHOOK, "istio-sidecar-injector-canary")
    await client.delete(MUTATING_WEBHOOK, "istio-sidecar-injector-canary")
    mesh.linnet("tag", "set", "spare", "--revision", "canary")
    hook = await client.get(MUTATING_WEBHOOK, "istio-revision-tag-spare")
    assert all(entry["clientConfig"]["caBundle"] for entry in hook["webhooks"])
    assert "its MutatingWebhookConfiguration is missing" in mesh.linnet("revision", "list")
    meta = {k: v for k, v in kept["metadata"].items() if k in ("name", "labels")}
    await client.create(MUTATING_WEBHOOK, {**kept, "metadata": meta})
    mesh.linnet("tag", "delete", "spare", "-y")


async def test_labels_that_name_nobody_are_said(mesh: Cluster, client: Client) -> None:
    """A typing error in a namespace's label is in every list."""
    labels = {"istio.io/rev": "typo"}
    await client.create(NAMESPACE, {"metadata": {"name": "lost", "labels": labels}})
    told = "there is no revision or tag typo; pods get no proxy in namespace lost"
    for command in (
        ("revision", "list"),
        ("tag", "list"),
        ("uninstall", "--revision", "default", "--dry-run"),
    ):
        assert told in mesh.linnet(*command)
    rows = json.loads(mesh.linnet("x", "revision", "list", "-o", "json"))
    assert [(row["revision"], row["default"], row["tags"], row["problems"]) for row in rows] == [
        ("default", True, ["default"], []),
        ("canary", False, ["prod"], []),
    ]
    assert rows[1]["namespaces"] == [TAGGED]
    described = mesh.linnet("revision", "describe", "prod")
    assert described.startswith("Revision:     canary\n")
    assert json.loads(mesh.linnet("x", "revision", "tag", "list", "-o", "json")) == [
        {"tag": "prod", "revision": "canary", "namespaces": [TAGGED]},
        {"tag": "default", "revision": "default", "namespaces": [INJECTED]},
    ]


async def test_forced_removal_leaves_nothing_that_calls_nobody(mesh: Cluster, client: Client) -> None:
    """By force the tags of the revision go with it, so pods of their namespaces are still created."""
    done = mesh.linnet("uninstall", "--revision", "canary", "--force", "-y")
    assert "MutatingWebhookConfiguration istio-revision-tag-prod goes too" in done
    assert await works(client, INJECTED, TAGGED) == {"default", ""}
    there = {obj["metadata"]["name"] for obj in (await client.list(MUTATING_WEBHOOK)).items}
    assert there == {"istio-sidecar-injector", "istio-revision-tag-default"}
