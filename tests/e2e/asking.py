"""Questions to a mesh: who injects here, is configuration validated, does a webhook call nobody."""

from typing import Any

import pytest

from linnet.install.selftest import injecting_revision
from linnet.kube.client import Client
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import (
    MUTATING_WEBHOOK,
    POD,
    SERVICE,
    VALIDATING_WEBHOOK,
    VIRTUAL_SERVICE,
    Kind,
)

Object = dict[str, Any]
SYSTEM = "istio-system"


def labels_of(given: dict[str, str]) -> dict[str, str]:
    """`rev` and `injection` are short for Istio's labels."""
    names = {"rev": "istio.io/rev", "injection": "istio-injection"}
    return {names[key]: value for key, value in given.items()}


async def stored(client: Client, kind: Kind, name: str, namespace: str = "") -> Object | None:
    """An object, if it is there."""
    try:
        return await client.get(kind, name, namespace)
    except NotFound:
        return None


def pod(namespace: str, **labels: str) -> Object:
    """A pod of an application."""
    spec = {"containers": [{"name": "main", "image": "linnet/echo"}]}
    return {"metadata": {"name": "p", "namespace": namespace, "labels": labels_of(labels)}, "spec": spec}


async def injector(client: Client, namespace: str, **labels: str) -> str:
    """The revision that injects a pod that is created now; empty: none."""
    asked = pod(namespace, **labels)
    asked["metadata"]["name"] = "asked"  # `p` may be there
    return injecting_revision(await client.create(POD, asked, dry_run=True))


def virtual_service(namespace: str, *hosts: str) -> Object:
    """Routes hosts to `shop`."""
    return {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": VIRTUAL_SERVICE.name,
        "metadata": {"name": "v", "namespace": namespace},
        "spec": {"hosts": list(hosts), "http": [{"route": [{"destination": {"host": "shop"}}]}]},
    }


async def validates(client: Client, namespace: str) -> None:
    """Good configuration is stored, bad configuration is refused for what is wrong with it."""
    await client.create(VIRTUAL_SERVICE, virtual_service(namespace, "shop"), dry_run=True)
    with pytest.raises(ApiError, match="duplicate host 'shop'"):
        await client.create(VIRTUAL_SERVICE, virtual_service(namespace, "shop", "shop"), dry_run=True)


async def dangling(client: Client) -> list[str]:
    """Webhooks that call a Service which is not there."""
    found = []
    for kind in (MUTATING_WEBHOOK, VALIDATING_WEBHOOK):
        for obj in (await client.list(kind)).items:
            for hook in obj["webhooks"]:
                called = hook["clientConfig"].get("service")
                if called and not await stored(client, SERVICE, called["name"], called["namespace"]):
                    found.append(f"{obj['metadata']['name']}: {hook['name']}")
    return found


def is_ready(found: Object) -> bool:
    """Whether a pod's condition says so."""
    conditions = found.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
