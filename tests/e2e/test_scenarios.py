"""What a plane without a revision and a canary beside it promise; the scenarios of docs/hazards.md."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.asking import (
    SYSTEM,
    Object,
    dangling,
    injector,
    is_ready,
    pod,
    stored,
    validates,
)
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until

from linnet.kube.client import Client, Patch
from linnet.kube.errors import ApiError
from linnet.kube.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    SERVICE,
    VALIDATING_WEBHOOK,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_ROOT]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A cluster with a plane without a revision."""
    with cluster() as made:
        made.linnet("install", "--set", "profile=minimal", "-y")
        yield made


@pytest.fixture
async def both(mesh: Cluster, client: Client) -> Cluster:
    """Beside it a canary."""
    if not await stored(client, MUTATING_WEBHOOK, "istio-sidecar-injector-canary"):
        mesh.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
    return mesh


async def scaled(client: Client, deployment: str, replicas: int) -> None:
    """A Deployment of the control plane has exactly so many ready pods."""
    patch = {"spec": {"replicas": replicas}}
    await client.patch(DEPLOYMENT, deployment, SYSTEM, patch, type=Patch.MERGE)
    wanted = await client.get(DEPLOYMENT, deployment, SYSTEM)
    labels = ",".join(f"{k}={v}" for k, v in wanted["spec"]["selector"]["matchLabels"].items())

    async def settled() -> bool:
        pods = (await client.list(POD, SYSTEM, labels=labels)).items
        return len(pods) == replicas and all(is_ready(one) for one in pods)

    await until(settled)


def without_revision(obj: Any) -> Any:
    """An object without what differs by design between two revisions: names, addresses, label values."""
    if isinstance(obj, dict):
        return {without_revision(key): without_revision(value) for key, value in obj.items()}
    if isinstance(obj, list):
        return [without_revision(value) for value in obj]
    return obj.replace("-canary", "") if isinstance(obj, str) else obj


async def test_scenario_1_a_fresh_plane_is_whole(mesh: Cluster, client: Client, space) -> None:
    """It validates with failure policy Fail, and injects by all three ways that mean the default."""
    for name in ("istio-validator-istio-system", "istiod-default-validator"):
        found = await client.get(VALIDATING_WEBHOOK, name)
        assert {hook["failurePolicy"] for hook in found["webhooks"]} == {"Fail"}
    team = await space()
    await validates(client, team)
    assert await injector(client, team) == ""
    assert await injector(client, await space(injection="enabled")) == "default"
    assert await injector(client, await space(rev="default")) == "default"
    asks = pod(team)
    asks["metadata"]["labels"] = {"sidecar.istio.io/inject": "true"}
    created = await client.create(POD, asks, dry_run=True)
    assert created["metadata"]["labels"]["istio.io/rev"] == "default"


async def test_scenario_3_the_canary_stands_beside(both: Cluster, client: Client, space) -> None:
    """Two Services and Deployments that differ only by their revision; other namespaces see nothing."""
    assert await injector(client, await space(injection="enabled")) == "default"
    assert await injector(client, await space()) == ""
    names = ("istiod", "istiod-canary")
    planes = [await client.get(DEPLOYMENT, name, SYSTEM) for name in names]
    pods = [plane["spec"]["template"]["spec"] for plane in planes]
    for spec in pods:
        for entry in spec["containers"][0]["env"]:
            if entry["name"] in ("REVISION", "CLUSTER_ID"):
                entry["value"] = ""
    assert without_revision(pods[1]) == pods[0]
    ports = [(await client.get(SERVICE, name, SYSTEM))["spec"]["ports"] for name in names]
    assert ports[0] == ports[1]


async def test_scenario_5_a_namespace_moves(both: Cluster, client: Client, space) -> None:
    """Label, annotation, status, discovery address, CA and image of new pods are the canary's."""

    async def injected(name: str) -> tuple[Object, dict[str, str]]:
        made = await client.create(POD, pod(name), dry_run=True)
        spec = made["spec"]
        proxy = next(
            one
            for one in (*spec["containers"], *spec.get("initContainers", ()))
            if one["name"] == "istio-proxy"
        )
        return made, {one["name"]: one.get("value", "") for one in proxy["env"]}

    team = await space(injection="enabled")
    pod_of_old, env = await injected(team)
    assert pod_of_old["metadata"]["labels"]["istio.io/rev"] == "default"
    assert env["CA_ADDR"] == "istiod.istio-system.svc:15012"
    labels = {"istio-injection": None, "istio.io/rev": "canary"}
    await client.patch(NAMESPACE, team, "", {"metadata": {"labels": labels}}, type=Patch.MERGE)

    moved, env = await injected(team)
    assert moved["metadata"]["labels"]["istio.io/rev"] == "canary"
    assert moved["metadata"]["annotations"]["istio.io/rev"] == "canary"
    assert json.loads(moved["metadata"]["annotations"]["sidecar.istio.io/status"])["revision"] == "canary"
    assert env["CA_ADDR"] == "istiod-canary.istio-system.svc:15012"
    assert json.loads(env["PROXY_CONFIG"])["discoveryAddress"] == "istiod-canary.istio-system.svc:15012"


async def test_scenario_15_a_dead_istiod_stops_only_its_own_namespaces(
    both: Cluster, client: Client, space
) -> None:
    """Without the canary's istiod its pods are refused, with the reason; all others are created."""
    team, other, plain = await space(rev="canary"), await space(injection="enabled"), await space()
    await scaled(client, "istiod-canary", 0)
    try:
        with pytest.raises(ApiError, match="failed calling webhook"):
            await client.create(POD, pod(team), dry_run=True)
        assert await injector(client, other) == "default"
        assert await injector(client, plain) == ""
        await validates(client, team)
    finally:
        await scaled(client, "istiod-canary", 1)

    async def injects_again() -> bool:  # a moment later: the node follows endpoints as any node does
        try:
            return await injector(client, team) == "canary"
        except ApiError:
            return False

    await until(injects_again)


async def test_scenario_9_the_users_are_named_and_silence_means_no(
    both: Cluster, client: Client, space
) -> None:
    """Connected proxies are listed; without an answer nothing is removed, and the exit code is 1."""
    team = await space(rev="canary")
    await client.create(POD, pod(team))

    await until(lambda: _ready(client, team))
    assert f"~p.{team}~{team}.svc.cluster.local" in both.linnet("proxy-config", "bootstrap", f"p.{team}")
    refused = both.attempt("uninstall", "--revision", "canary", "-y")
    assert (refused.returncode, f"p.{team}" in refused.stderr) == (1, True)
    silent = both.attempt("uninstall", "--revision", "canary", "--force")
    assert silent.returncode == 1
    assert "Removed" not in silent.stdout
    assert await stored(client, DEPLOYMENT, "istiod-canary", SYSTEM)
    assert await injector(client, team) == "canary"


async def test_scenario_7_the_old_plane_goes(both: Cluster, client: Client, space) -> None:
    """Nobody uses it: the canary injects, validates, certifies and tells new namespaces the root."""
    both.linnet("uninstall", "--revision", "default", "-y")
    assert await stored(client, DEPLOYMENT, "istiod", SYSTEM) is None
    assert await dangling(client) == []
    team = await space(injection="enabled")
    assert await injector(client, team) == "canary"
    await validates(client, team)
    root = (await client.get(CONFIG_MAP, "istio-ca-root-cert", SYSTEM))["data"]

    async def told() -> bool:
        found = await stored(client, CONFIG_MAP, "istio-ca-root-cert", team)
        return found is not None and found["data"] == root

    await until(told)
    await client.create(POD, pod(team))
    await until(lambda: _ready(client, team))


async def _ready(client: Client, namespace: str) -> bool:
    return is_ready(await client.get(POD, "p", namespace))
