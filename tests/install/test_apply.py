"""Applying to a real API server: idempotent, gentle to what istiod changed; the default moves and goes."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
import structlog

from linnet.inject.bundle import Bundles
from linnet.install import tags
from linnet.install.apply import Outcome, apply_object, holds
from linnet.install.default import current_default, drop_default, make_default
from linnet.install.install import make_namespace
from linnet.install.plane import Plane
from linnet.install.render import base, components
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import NotFound
from linnet.kube.kinds import (
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    MUTATING_WEBHOOK,
    SERVICE,
    VALIDATING_WEBHOOK,
    Kind,
)
from linnet.kube.watch import Listed, follow
from linnet.objects.crd import definitions

pytestmark = pytest.mark.wired

Make = Callable[..., Plane]


@pytest.fixture
async def client(api_server: str) -> AsyncIterator[Client]:
    """Its administrator."""
    async with Client(from_kubeconfig(api_server), manager="istio-operator") as client:
        yield client


async def apply(client: Client, plane: Plane) -> list[Outcome]:
    """All objects of a plane, as they come."""
    await make_namespace(client, plane)
    objects = [obj for component in components(plane, []) for obj in component.objects]
    return [(await apply_object(client, obj)).outcome for obj in objects]


async def test_applying_twice_changes_nothing(client: Client, plane: Make) -> None:
    """The second time nothing is created and nothing changes."""
    assert set(await apply(client, plane("twice"))) <= {Outcome.CREATED, Outcome.SAME}
    assert set(await apply(client, plane("twice"))) == {Outcome.SAME}


async def test_definitions_are_compared_here(client: Client, plane: Make) -> None:
    """One of the same version is not sent again; an edited one is put back."""
    (first, *_) = base(plane("x"), definitions())
    assert (await apply_object(client, first)).outcome is Outcome.CREATED
    live = await client.get(CUSTOM_RESOURCE_DEFINITION, first["metadata"]["name"])
    assert holds(live, first)
    assert (await apply_object(client, first)).outcome is Outcome.SAME
    edit = {"metadata": {"labels": {"operator.istio.io/version": "0.0.1"}}}
    await client.patch(CUSTOM_RESOURCE_DEFINITION, first["metadata"]["name"], "", edit)
    assert (await apply_object(client, first)).outcome is Outcome.CHANGED
    assert (await apply_object(client, first)).outcome is Outcome.SAME


async def test_dry_run_writes_nothing(client: Client, plane: Make) -> None:
    """What would be created is not there afterwards."""
    made = plane("dry")
    await make_namespace(client, made)
    objects = [obj for component in components(made, []) for obj in component.objects]
    for obj in objects:
        assert (await apply_object(client, obj, dry_run=True)).outcome in (
            Outcome.CREATED,
            Outcome.SAME,
            Outcome.CHANGED,
        )
    with pytest.raises(NotFound):
        await client.get(DEPLOYMENT, "istiod-dry", "istio-system")


async def test_gateway_moves_in_place(client: Client, plane: Make) -> None:
    """The same Deployment and Service, another label; the Service keeps its address."""
    await apply(client, plane("one"))
    before = await client.get(SERVICE, "istio-ingressgateway", "istio-system")
    await apply(client, plane("two"))
    after = await client.get(SERVICE, "istio-ingressgateway", "istio-system")
    gateway = await client.get(DEPLOYMENT, "istio-ingressgateway", "istio-system")
    assert after["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    template = gateway["spec"]["template"]
    assert template["metadata"]["labels"]["istio.io/rev"] == "two"
    volumes = [v["configMap"]["name"] for v in template["spec"]["volumes"] if v["name"] == "config-volume"]
    assert volumes == ["istio-two"]
    environment = {e["name"]: e.get("value") for e in template["spec"]["containers"][0]["env"]}
    assert environment["CA_ADDR"] == "istiod-two.istio-system.svc:15012"


async def bundles_settle(client: Client, plane: Plane, bundle: bytes) -> None:
    """Run the bundle task until the webhooks of the plane hold the bundle and its validator fails closed."""
    task = Bundles(client, plane.revision_name, plane.namespace, lambda: bundle, structlog.get_logger())
    wanted = base64.b64encode(bundle).decode()

    def held(entry: dict[str, Any]) -> bool:
        return entry["clientConfig"].get("caBundle") == wanted and entry["failurePolicy"] == "Fail"

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(task.run())
        await until(client, MUTATING_WEBHOOK, f"istio-sidecar-injector-{plane.revision}", held)
        await until(client, VALIDATING_WEBHOOK, f"istio-validator-{plane.revision}-istio-system", held)
        running.cancel()


async def until(client: Client, kind: Kind, name: str, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Return when all entries of a webhook object hold."""
    async with aclosing(follow(client, kind, fields=f"metadata.name={name}")) as events:
        async for event in events:
            for obj in event.items if isinstance(event, Listed) else [event.object]:
                if all(holds(entry) for entry in obj["webhooks"]):
                    return


async def entries(client: Client, kind: Kind, name: str) -> list[dict[str, Any]]:
    """The webhooks of an object."""
    found: list[dict[str, Any]] = (await client.get(kind, name))["webhooks"]
    return found


async def test_bundles_survive_a_second_installation(client: Client, plane: Make) -> None:
    """What istiod wrote into its webhooks stays when they are applied again; others are not touched."""
    await apply(client, plane("mine"))
    await apply(client, plane("other"))
    await bundles_settle(client, plane("mine"), b"roots")
    assert set(await apply(client, plane("mine"))) <= {Outcome.SAME, Outcome.CHANGED}
    (first, *_) = await entries(client, MUTATING_WEBHOOK, "istio-sidecar-injector-mine")
    assert base64.b64decode(first["clientConfig"]["caBundle"]) == b"roots"
    (first, *_) = await entries(client, MUTATING_WEBHOOK, "istio-sidecar-injector-other")
    assert "caBundle" not in first["clientConfig"]
    (validator,) = await entries(client, VALIDATING_WEBHOOK, "istio-validator-mine-istio-system")
    assert validator["failurePolicy"] == "Fail"  # without the CRD there is nothing to prove
    (validator,) = await entries(client, VALIDATING_WEBHOOK, "istio-validator-other-istio-system")
    assert validator["failurePolicy"] == "Ignore"


async def test_the_default_moves_and_goes(client: Client, plane: Make) -> None:
    """It works at once (its CA bundle is copied), follows a revision, and leaves nothing behind."""
    for revision in ("old", "new"):
        await apply(client, plane(revision))
        await bundles_settle(client, plane(revision), b"roots")
    assert await current_default(client, "istio-system") is None
    for revision in ("old", "new"):
        await make_default(client, plane(revision))
        held = await current_default(client, "istio-system")
        assert held is not None
        assert (held.revision, held.dangling) == (revision, False)
        for kind, name in (
            (MUTATING_WEBHOOK, "istio-revision-tag-default"),
            (VALIDATING_WEBHOOK, "istiod-default-validator"),
        ):
            for entry in await entries(client, kind, name):
                assert entry["clientConfig"]["service"]["name"] == f"istiod-{revision}"
                assert base64.b64decode(entry["clientConfig"]["caBundle"]) == b"roots"
                assert entry["failurePolicy"] == "Fail"
    await client.delete(SERVICE, "istiod-new", "istio-system")
    held = await current_default(client, "istio-system")
    assert held is not None
    assert held.dangling
    assert len(await drop_default(client, plane("new"))) == 3
    assert await current_default(client, "istio-system") is None
    assert await drop_default(client, plane("new")) == []


async def set_tag(client: Client, name: str, revision: str, *, overwrite: bool = False) -> None:
    """As `tag set` does."""
    wish = tags.Wish(name, revision, "istio-system", overwrite=overwrite)
    await tags.set_tag(client, wish, await tags.planned(client, wish))


async def test_tags(client: Client, plane: Make) -> None:
    """A tag is set, refused, moved, listed and removed."""
    for revision in ("tag-a", "tag-b"):
        await apply(client, plane(revision))
        ready = {"status": {"readyReplicas": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}}
        await client.patch(DEPLOYMENT, f"istiod-{revision}", "istio-system", ready, subresource="status")
    await set_tag(client, "prod", "tag-a")
    for name, revision, overwrite, message in (
        ("prod", "tag-b", False, "already exists, and --overwrite is false; it names revision tag-a"),
        ("tag-b", "tag-a", False, "found existing control plane revision with same name"),
        ("prod", "nope", True, "cannot find MutatingWebhookConfiguration or Service with revision nope"),
        ("next", "prod", False, "prod is itself a tag; name a revision: .*tag-a, tag-b"),
        ("Prod", "tag-a", False, 'invalid tag "Prod"'),
    ):
        with pytest.raises(tags.TagError, match=message):
            await set_tag(client, name, revision, overwrite=overwrite)
    await set_tag(client, "prod", "tag-b", overwrite=True)
    assert [row.revision for row in await tags.listed(client) if row.tag == "prod"] == ["tag-b"]
    await tags.remove_tag(client, "prod", "istio-system")
    assert [row for row in await tags.listed(client) if row.tag == "prod"] == []
    with pytest.raises(tags.TagError, match="there is no such tag"):
        await tags.remove_tag(client, "prod", "istio-system")
    await client.delete(DEPLOYMENT, "istiod-tag-b", "istio-system")
    with pytest.raises(tags.TagError, match="revision tag-b has no ready istiod"):
        await set_tag(client, "next", "tag-b")
    await client.delete(SERVICE, "istiod-tag-b", "istio-system")
    for name in ("next", "default"):
        with pytest.raises(tags.TagError, match="revision tag-b has no Service istio-system/istiod-tag-b"):
            await set_tag(client, name, "tag-b", overwrite=True)
    assert [row.tag for row in await tags.listed(client) if row.tag in ("next", "default")] == []
