"""New Pods: their service account, which may be about to be made, and what admission adds."""

import asyncio
from typing import Any

from linnet.local.api import limits, pods, refusals
from linnet.local.api.cluster import Cluster

Json = dict[str, Any]

_ACCOUNT_WAIT = 1.0  # seconds that a Pod waits for the service account of its new namespace


async def admit(cluster: Cluster, namespace: str, pod: Json) -> None:
    spec = pod["spec"]
    limits.complete(pod, cluster.objects("limitranges", namespace))
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    shown_name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
    account = await _account(cluster, namespace, name)
    if account is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise refusals.forbidden(cluster.resource("", "pods"), shown_name, why)
    pods.with_account(spec, account)
    pods.with_tolerations(spec)
    classes = {one["metadata"]["name"]: one for one in cluster.objects("scheduling.k8s.io/priorityclasses")}
    pods.with_priority(shown_name, spec, classes)


async def _account(cluster: Cluster, namespace: str, name: str) -> Json | None:
    """The service account; that of a new namespace is about to be made."""
    found = cluster.find("serviceaccounts", namespace, name)
    if found is not None or name != "default":
        return found
    arrived = asyncio.Event()
    stop = cluster.store.follow("serviceaccounts", lambda _event: arrived.set())
    try:
        async with asyncio.timeout(_ACCOUNT_WAIT):
            while (found := cluster.find("serviceaccounts", namespace, name)) is None:
                arrived.clear()
                await arrived.wait()
    except TimeoutError:
        return None
    finally:
        stop()
    return found
