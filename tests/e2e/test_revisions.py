"""Two revisions side by side on the local cluster: who injects, who validates, and that they do not fight."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
from demo.play import ROOT
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until

from linnet.ca.roots import WITHOUT
from linnet.install.selftest import injecting_revision
from linnet.kube.client import Client, Patch
from linnet.kube.errors import AlreadyExists, ApiError
from linnet.kube.kinds import (
    CONFIG_MAP,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    VALIDATING_WEBHOOK,
    VIRTUAL_SERVICE,
    Kind,
)
from linnet.kube.locks import LEADER
from linnet.kube.watch import Listed, follow

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_ROOT]

Object = dict[str, Any]
TABLE = json.loads((ROOT / "tests" / "install" / "decision-table.json").read_text())


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A local cluster with an un-revisioned default and a canary, without gateways."""
    with cluster() as made:
        made.linnet("install", "--set", "profile=minimal", "-y")
        made.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
        yield made


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


WEBHOOKS = (MUTATING_WEBHOOK, VALIDATING_WEBHOOK)
SPOILT = base64.b64encode(b"spoilt").decode()
ROUNDS = 2  # whoever answers what is written in the first has done so when the second is over


async def test_two_revisions_do_not_fight(client: Client) -> None:
    """What is spoilt in webhooks and ConfigMaps is mended by one write; it is answered by no other."""
    await until(lambda: everyone_has_roots(client))
    spoilers: dict[str, Callable[[], Awaitable[Object]]] = {
        "ConfigMap/istio-ca-root-cert.default": lambda: client.patch(
            CONFIG_MAP, "istio-ca-root-cert", "default", {"data": {"root-cert.pem": SPOILT}}, type=Patch.MERGE
        )
    }
    for kind in WEBHOOKS:
        for obj in (await client.list(kind)).items:
            entries = [
                {"name": hook["name"], "clientConfig": {"caBundle": SPOILT}} for hook in obj["webhooks"]
            ]
            name = obj["metadata"]["name"]
            spoilers[f"{kind.name}/{name}."] = partial(
                client.patch, kind, name, "", {"webhooks": entries}, type=Patch.STRATEGIC
            )
    written: dict[str, list[Object]] = defaultdict(list)
    listed = [asyncio.Event() for _ in (*WEBHOOKS, CONFIG_MAP)]

    async def keep(kind: Kind, started: asyncio.Event) -> None:
        async with aclosing(follow(client, kind)) as events:
            async for event in events:
                if isinstance(event, Listed):
                    assert not started.is_set(), "a gap in the watch"
                    started.set()
                    continue
                about = event.object["metadata"]
                if LEADER not in (about.get("annotations") or {}):  # locks are renewed
                    key = f"{kind.name}/{about['name']}.{about.get('namespace', '')}"
                    written[key].append(event.object)

    async def mended(number: int) -> bool:
        return all(
            len(written[key]) >= 2 * number and SPOILT not in json.dumps(written[key][-1]) for key in spoilers
        )

    async with asyncio.TaskGroup() as tasks:
        keeping = [
            tasks.create_task(keep(kind, started))
            for kind, started in zip((*WEBHOOKS, CONFIG_MAP), listed, strict=True)
        ]
        for started in listed:
            await started.wait()
        for number in range(1, ROUNDS + 1):
            for spoil in spoilers.values():
                await spoil()
            await until(partial(mended, number))
        for task in keeping:
            task.cancel()
    assert {key: len(writes) for key, writes in written.items()} == dict.fromkeys(spoilers, 2 * ROUNDS)
    assert len(spoilers) == 7


async def everyone_has_roots(client: Client) -> bool:
    """Whether each namespace has both ConfigMaps that namespaces are given."""
    namespaces = {obj["metadata"]["name"] for obj in (await client.list(NAMESPACE)).items}
    for name in ("istio-ca-root-cert", "kube-root-ca.crt"):
        found = await client.list(CONFIG_MAP, fields=f"metadata.name={name}")
        without = namespaces - {obj["metadata"]["namespace"] for obj in found.items}
        if without - WITHOUT:
            return False
    return True


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
