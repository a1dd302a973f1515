"""A broken or half-removed revision stops the pods of its own namespaces only, says so, and can be mended."""

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from tests.e2e.asking import SYSTEM, injector, stored
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until

from linnet.kube.client import Client, Patch
from linnet.kube.errors import ApiError
from linnet.kube.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    SERVICE,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), NEEDS_ROOT]

INSTALL = ("install", "--set", "profile=minimal", "-y", "--set")
ISTIOD, INJECTOR = "istiod-broken", "istio-sidecar-injector-broken"
Break = Callable[[Client], Awaitable[None]]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """Two revisions: `whole`, the default, and one that gets broken, with a tag."""
    with cluster() as made:
        for revision in ("whole", "broken"):
            made.linnet(*INSTALL, f"revision={revision}")
        made.linnet("tag", "set", "prod", "--revision", "broken")
        yield made


@pytest.fixture
async def spaces(space: Any) -> dict[str, str]:
    """Namespaces of either revision, of the tag and of nobody."""
    return {
        "whole": await space(rev="whole"),
        "enabled": await space(injection="enabled"),
        "broken": await space(rev="broken"),
        "tag": await space(rev="prod"),
        "plain": await space(),
    }


async def scaled(client: Client) -> None:
    """Somebody has scaled it to nothing, for good."""
    await client.delete(HORIZONTAL_POD_AUTOSCALER, ISTIOD, SYSTEM)
    await client.patch(DEPLOYMENT, ISTIOD, SYSTEM, {"spec": {"replicas": 0}})


async def without_service(client: Client) -> None:
    """Its Service was deleted."""
    await client.delete(SERVICE, ISTIOD, SYSTEM)


async def nobodys_service(client: Client) -> None:
    """Its Service selects nothing, and no connection from before is left."""
    await client.patch(SERVICE, ISTIOD, SYSTEM, {"spec": {"selector": {"app": "nobody"}}})
    for found in (await client.list(POD, SYSTEM, labels="istio.io/rev=broken,app=istiod")).items:
        await client.delete(POD, found["metadata"]["name"], SYSTEM)


async def without_port(client: Client) -> None:
    """Its Service has lost the port of the webhooks."""
    ports = (await client.get(SERVICE, ISTIOD, SYSTEM))["spec"]["ports"]
    kept = [port for port in ports if port["port"] != 443]
    await client.patch(SERVICE, ISTIOD, SYSTEM, {"spec": {"ports": kept}})


async def another_port(client: Client) -> None:
    """Its webhooks call a port that the Service does not have."""
    for name in (INJECTOR, "istio-revision-tag-prod"):
        hook = await client.get(MUTATING_WEBHOOK, name)
        steps = [
            {"op": "replace", "path": f"/webhooks/{n}/clientConfig/service/port", "value": 444}
            for n in range(len(hook["webhooks"]))
        ]
        await client.patch(MUTATING_WEBHOOK, name, "", steps, type=Patch.JSON)


async def without_deployment(client: Client) -> None:
    """Its Deployment was deleted by hand, the webhooks are left."""
    await client.delete(DEPLOYMENT, ISTIOD, SYSTEM)


async def refused(client: Client, namespace: str, **labels: str) -> bool:
    """Whether a pod is refused, because the API server cannot call the webhook that it asks for."""
    try:
        await injector(client, namespace, **labels)
    except ApiError as error:
        return 'failed calling webhook "rev.' in error.message
    return False


BREAKS: list[tuple[Break, str]] = [
    (scaled, f"Deployment {ISTIOD} is scaled to 0"),
    (without_service, f"calls Service {ISTIOD}.{SYSTEM}, which does not exist"),
    (nobodys_service, f"Service {ISTIOD}.{SYSTEM} has no endpoint that is ready"),
    (without_port, f"Service {ISTIOD}.{SYSTEM} has no port 443"),
    (another_port, f"Service {ISTIOD}.{SYSTEM} has no port 444"),
    (without_deployment, f"Deployment {ISTIOD} is missing"),
]


@pytest.mark.parametrize(("breaks", "told"), BREAKS, ids=[breaks.__name__ for breaks, _ in BREAKS])
async def test_only_its_own_pods_are_refused(
    mesh: Cluster, client: Client, spaces: dict[str, str], breaks: Break, told: str
) -> None:
    """They are refused by its webhook; all others are created as ever; the same install mends it."""
    await breaks(client)
    for where, labels in ((spaces["broken"], {}), (spaces["tag"], {}), (spaces["plain"], {"rev": "broken"})):
        await until(partial(refused, client, where, **labels))
    assert await injector(client, spaces["whole"]) == "whole"
    assert await injector(client, spaces["enabled"]) == "whole"
    for name in (spaces["plain"], SYSTEM, "kube-system"):
        assert await injector(client, name) == ""
    assert await injector(client, "kube-system", rev="broken") == ""

    assert told in mesh.linnet("revision", "list")
    done = mesh.attempt("x", "precheck", "-o", "json")
    assert done.returncode == 1
    errors = {f["origin"]: f for f in json.loads(done.stdout) if f["level"] == "Error"}
    for hook in (INJECTOR, "istio-revision-tag-prod"):
        assert "what it matches is refused" in errors[f"Webhook {hook}"]["message"]
        assert errors[f"Webhook {hook}"]["remedy"]
    assert mesh.attempt("verify-install", "--revision", "broken").returncode == 1

    mesh.linnet(*INSTALL, "revision=broken")
    if breaks is another_port:  # a tag is its user's: install leaves it alone
        mesh.linnet("tag", "set", "prod", "--revision", "broken", "--overwrite")
    assert await injector(client, spaces["broken"]) == "broken"
    assert await injector(client, spaces["tag"]) == "broken"
    mesh.linnet("verify-install", "--revision", "broken")


async def test_labels_on_the_clusters_own_namespace(mesh: Cluster, client: Client) -> None:
    """kube-system labelled for a revision whose istiod is gone: its pods are created nevertheless."""
    await client.patch(DEPLOYMENT, ISTIOD, SYSTEM, {"spec": {"replicas": 0}})
    await until(lambda: refused(client, SYSTEM, rev="broken"))
    try:
        for key in ("istio.io/rev", "istio-injection"):
            value = "broken" if key == "istio.io/rev" else "enabled"
            await client.patch(NAMESPACE, "kube-system", "", {"metadata": {"labels": {key: value}}})
            assert await injector(client, "kube-system") == ""
            await client.patch(NAMESPACE, "kube-system", "", {"metadata": {"labels": {key: None}}})
    finally:
        mesh.linnet(*INSTALL, "revision=broken")


async def test_a_foreign_bundle_is_replaced(client: Client, spaces: dict[str, str]) -> None:
    """An istiod that runs puts its own back."""
    steps = [
        {"op": "replace", "path": f"/webhooks/{n}/clientConfig/caBundle", "value": "Zm9yZWlnbg=="}
        for n in range(2)
    ]
    await client.patch(MUTATING_WEBHOOK, INJECTOR, "", steps, type=Patch.JSON)

    async def injects() -> bool:
        try:
            return await injector(client, spaces["broken"]) == "broken"
        except ApiError:
            return False

    await until(injects)


async def test_a_broken_configuration_stays_out(
    mesh: Cluster, client: Client, spaces: dict[str, str]
) -> None:
    """The configuration before stays in force; an istiod that never had another one takes no calls."""
    broken = {"data": {"config": 'policy: enabled\ntemplates: {sidecar: "spec: {containers: [{}]}"}\n'}}
    await client.patch(CONFIG_MAP, INJECTOR, SYSTEM, broken)
    assert await injector(client, spaces["broken"]) == "broken"
    (old,) = (await client.list(POD, SYSTEM, labels="istio.io/rev=broken,app=istiod")).items
    await client.delete(POD, old["metadata"]["name"], SYSTEM)
    await until(lambda: gone(client, old["metadata"]["name"]))
    await until(lambda: refused(client, spaces["broken"]))
    assert await injector(client, spaces["whole"]) == "whole"
    assert await injector(client, spaces["plain"]) == ""
    mesh.linnet(*INSTALL, "revision=broken")
    assert await injector(client, spaces["broken"]) == "broken"


async def gone(client: Client, name: str) -> bool:
    """Whether a pod of the control plane is gone."""
    return await stored(client, POD, name, SYSTEM) is None
