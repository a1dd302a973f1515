"""The validator `istiod-NS` of Istio before 1.11: left behind, it refuses every Istio object of the cluster.

Source: Istio, its validating webhook calls the Service `istiod`, which goes with the un-revisioned plane.
"""

from collections.abc import Mapping
from typing import Any

from linnet.install.plane import Plane
from linnet.kube.client import Client, Patch
from linnet.kube.errors import NotFound
from linnet.kube.kinds import ENDPOINT_SLICE, SERVICE, VALIDATING_WEBHOOK

LEGACY = "istiod-{}"  # by the namespace of the control plane


async def blocking(client: Client, webhook: Mapping[str, Any]) -> str:
    """Why a webhook object refuses whatever it is asked about; empty: it does not."""
    for entry in webhook.get("webhooks") or ():
        called = (entry.get("clientConfig") or {}).get("service")
        if called and entry.get("failurePolicy", "Fail") == "Fail":
            if not await _exists(client, called):
                return f"its Service {called['namespace']}/{called['name']} does not exist"
            if not await _answers(client, called):
                return f"its Service {called['namespace']}/{called['name']} has no endpoint that is ready"
    return ""


async def settle(client: Client, plane: Plane, *, dry_run: bool = False) -> str:
    """Remove the old validator when its Service is gone, or let it fail open when nothing answers behind it.

    Returns what was (or would be) done, in words; empty: nothing.
    """
    name = LEGACY.format(plane.namespace)
    try:
        live = await client.get(VALIDATING_WEBHOOK, name)
    except NotFound:
        return ""
    services = [(entry.get("clientConfig") or {}).get("service") for entry in live.get("webhooks") or ()]
    if not any([await _exists(client, service) for service in services if service]):
        if not dry_run:
            await client.delete(VALIDATING_WEBHOOK, name, uid=live["metadata"]["uid"])
        return f"removed the old validator {name}: its Service is gone"
    if reason := await blocking(client, live):
        if not dry_run:
            entries = [{"name": e["name"], "failurePolicy": "Ignore"} for e in live["webhooks"]]
            await client.patch(VALIDATING_WEBHOOK, name, "", {"webhooks": entries}, type=Patch.STRATEGIC)
        return f"the old validator {name} no longer refuses what it cannot check: {reason}"
    return ""


async def _exists(client: Client, called: Mapping[str, Any]) -> bool:
    try:
        await client.get(SERVICE, called["name"], called["namespace"])
    except NotFound:
        return False
    return True


async def _answers(client: Client, called: Mapping[str, Any]) -> bool:
    selector = f"kubernetes.io/service-name={called['name']}"
    slices = (await client.list(ENDPOINT_SLICE, called["namespace"], labels=selector)).items
    return any(
        (endpoint.get("conditions") or {}).get("ready", True)
        for found in slices
        for endpoint in found.get("endpoints") or ()
    )
