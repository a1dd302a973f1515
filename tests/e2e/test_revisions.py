"""Two revisions side by side on the local cluster: who injects, who validates, and that they do not fight."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from demo.play import ROOT
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster

from linnet.install.selftest import injecting_revision
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import AlreadyExists, ApiError
from linnet.kube.kinds import (
    CONFIG_MAP,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    VALIDATING_WEBHOOK,
    VIRTUAL_SERVICE,
)
from linnet.kube.locks import LEADER

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    NEEDS_ROOT,
]

Object = dict[str, Any]
TABLE = json.loads((ROOT / "tests" / "install" / "decision-table.json").read_text())


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A local cluster with an un-revisioned default and a canary, without gateways."""
    with cluster() as made:
        made.linnet("install", "--set", "profile=minimal", "-y")
        made.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
        yield made


@pytest.fixture
async def client(mesh: Cluster) -> AsyncIterator[Client]:
    """The cluster's administrator."""
    async with Client(from_kubeconfig(mesh.kubeconfig)) as client:
        yield client


@pytest.mark.parametrize("row", range(len(TABLE)))
async def test_decision_table(client: Client, row: int) -> None:
    """The API server calls the injector that the table names, and no other."""
    namespace, labels, revision = (TABLE[row][key] for key in ("namespace", "pod", "revision"))
    assert await injected_by(client, f"row-{row}", namespace, labels) == revision


async def injected_by(client: Client, name: str, namespace: Object, labels: Object) -> str:
    """The revision that injects a pod with these labels in a namespace with those; empty: none."""
    try:
        await client.create(NAMESPACE, {"metadata": {"name": name, "labels": namespace}})
    except AlreadyExists:
        pass
    pod: Object = {
        "metadata": {"name": "p", "namespace": name, "labels": labels},
        "spec": {"serviceAccountName": "default", "containers": [{"name": "main", "image": "linnet/echo"}]},
    }
    return injecting_revision(await _created(client, pod))


async def _created(client: Client, pod: Object) -> Object:
    """The pod as it would be stored; its service account is there a moment after its namespace."""
    while True:
        try:
            return await client.create(POD, pod, dry_run=True)
        except ApiError as error:
            if "serviceaccount" not in error.message:
                raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("revision", [None, "default", "canary"])
async def test_validation(client: Client, revision: str | None) -> None:
    """Objects without a revision are validated by the default, others by their own."""
    labels = {"istio.io/rev": revision} if revision else {}
    route = {"route": [{"destination": {"host": "shop"}}]}
    good: Object = {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": "VirtualService",
        "metadata": {"name": "v", "namespace": "default", "labels": labels},
        "spec": {"hosts": ["shop"], "http": [route]},
    }
    await client.create(VIRTUAL_SERVICE, good, dry_run=True)
    bad = {**good, "spec": {"hosts": ["shop", "shop"], "http": [route]}}
    expected = "rev.validation.istio.io" if revision else '"validation.istio.io"'
    with pytest.raises(ApiError, match=r"spec\.hosts: duplicate host 'shop'") as refused:
        await client.create(VIRTUAL_SERVICE, bad, dry_run=True)
    assert expected in refused.value.message


async def test_two_revisions_do_not_fight(client: Client) -> None:
    """While nothing changes, nobody writes webhooks or ConfigMaps; locks are renewed."""

    async def versions() -> dict[str, str]:
        lists = [await client.list(kind) for kind in (MUTATING_WEBHOOK, VALIDATING_WEBHOOK, CONFIG_MAP)]
        return {
            f"{obj['kind']}/{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}": obj[
                "metadata"
            ]["resourceVersion"]
            for found in lists
            for obj in found.items
            if LEADER not in (obj["metadata"].get("annotations") or {})
        }

    before = await versions()
    await asyncio.sleep(5)  # the time in which they could
    assert await versions() == before


# last: who leads follows the default, and that is a write
@pytest.mark.parametrize("default", ["canary", ""])
async def test_decision_table_with_another_default(mesh: Cluster, client: Client, default: str) -> None:
    """The tag on the canary takes over what said `default`; without it the un-revisioned plane does."""
    try:
        if default:
            mesh.linnet("tag", "set", "default", "--revision", default, "--overwrite")
        else:
            mesh.linnet("tag", "remove", "default", "-y")
        for row, wanted in enumerate(TABLE):
            expected = default if wanted["revision"] == "default" and default else wanted["revision"]
            found = await injected_by(client, f"row-{row}", wanted["namespace"], wanted["pod"])
            assert found == expected, wanted
    finally:
        mesh.linnet("tag", "set", "default", "--revision", "default", "--overwrite")


TAGGED: list[tuple[Object, Object, str]] = [
    ({"istio.io/rev": "prod"}, {}, "canary"),
    ({"istio.io/rev": "prod"}, {"istio.io/rev": "default"}, "canary"),
    ({"istio.io/rev": "prod"}, {"sidecar.istio.io/inject": "false"}, ""),
    ({}, {"istio.io/rev": "prod"}, "canary"),
    ({}, {"istio.io/rev": "prod", "sidecar.istio.io/inject": "false"}, ""),
    ({"istio-injection": "enabled", "istio.io/rev": "prod"}, {}, "default"),
    ({"istio-injection": "enabled"}, {"istio.io/rev": "prod"}, "default"),
    ({"istio-injection": "disabled", "istio.io/rev": "prod"}, {"istio.io/rev": "prod"}, ""),
    ({"istio.io/rev": "canary"}, {"istio.io/rev": "prod"}, "canary"),
]


async def test_decision_table_with_a_tag(mesh: Cluster, client: Client) -> None:
    """A tag means its revision, wherever a revision may stand; moved, it means the other."""
    mesh.linnet("tag", "set", "prod", "--revision", "canary")
    for row, (namespace, labels, revision) in enumerate(TAGGED):
        found = await injected_by(client, f"tagged-{row}", namespace, labels)
        assert found == revision, (namespace, labels)
    mesh.linnet("tag", "set", "prod", "--revision", "default", "--overwrite")
    assert await injected_by(client, "tagged-0", *TAGGED[0][:2]) == "default"
    mesh.linnet("tag", "remove", "prod", "-y")
    assert await injected_by(client, "tagged-0", *TAGGED[0][:2]) == ""
