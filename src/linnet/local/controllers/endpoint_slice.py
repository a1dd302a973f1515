"""The endpoint controller: for each Service with a selector, its EndpointSlices and its Endpoints object."""

from typing import Any

from linnet.kube.client import Client
from linnet.kube.kinds import ENDPOINT_SLICE, ENDPOINTS
from linnet.kube.mirror import Key, Mirror
from linnet.local.controllers.owners import deleting
from linnet.local.controllers.queue import Queue
from linnet.local.controllers.slices import (
    MANAGED_BY,
    MANAGER,
    SERVICE_NAME,
    endpoint_slices,
    endpoints_object,
)

Object = dict[str, Any]


class EndpointSliceController:
    """Writes slices only when their content differs."""

    def __init__(
        self, client: Client, services: Mirror, pods: Mirror, slices: Mirror, endpoints: Mirror
    ) -> None:
        self._client, self._services, self._pods = client, services, pods
        self._slices, self._endpoints = slices, endpoints
        self.queue: Queue[Key] = Queue("endpointslice", self.reconcile)

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Queue the services that select a pod, before or after the change."""
        if old and new and _seen(old) == _seen(new):
            return
        for pod in (old, new):
            if pod is None:
                continue
            namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
            for key, service in self._services.items():
                selector = service["spec"].get("selector")
                if key[0] == namespace and selector and selector.items() <= labels.items():
                    self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Make one service's slices and Endpoints say what its pods are."""
        service = self._services.get(key)
        if service is None:
            if key in self._endpoints:  # slices follow by their owner, this older object has none
                await self._client.delete(ENDPOINTS, key[1], key[0])
            return
        if deleting(service) or not service["spec"].get("selector"):
            return
        if service["spec"].get("type") == "ExternalName":
            return
        selector = service["spec"]["selector"]
        pods = [
            pod
            for pod in self._pods.values()
            if pod["metadata"]["namespace"] == key[0]
            and selector.items() <= (pod["metadata"].get("labels") or {}).items()
        ]
        await self._write_slices(key, service, endpoint_slices(service, pods))
        await self._write_endpoints(key, endpoints_object(service, pods))

    async def _write_slices(self, key: Key, service: Object, wanted: list[Object]) -> None:
        have = [
            found
            for found in self._slices.values()
            if found["metadata"]["namespace"] == key[0]
            and (found["metadata"].get("labels") or {}).get(SERVICE_NAME) == key[1]
            and found["metadata"]["labels"].get(MANAGED_BY) == MANAGER
            and _owner_uid(found) == service["metadata"]["uid"]
        ]
        for found, new in zip(have, wanted, strict=False):
            if any(found.get(part) != new.get(part) for part in ("endpoints", "ports")) or (
                found["metadata"].get("labels") != new["metadata"]["labels"]
            ):
                meta = found["metadata"] | {"labels": new["metadata"]["labels"]}
                self._slices.remember(await self._client.replace(ENDPOINT_SLICE, new | {"metadata": meta}))
        for new in wanted[len(have) :]:
            self._slices.remember(await self._client.create(ENDPOINT_SLICE, new))
        for found in have[len(wanted) :]:
            await self._client.delete(ENDPOINT_SLICE, found["metadata"]["name"], key[0])

    async def _write_endpoints(self, key: Key, wanted: Object) -> None:
        found = self._endpoints.get(key)
        if found is None:
            self._endpoints.remember(await self._client.create(ENDPOINTS, wanted))
        elif found.get("subsets") != wanted.get("subsets"):
            new = wanted | {"metadata": found["metadata"] | {"labels": wanted["metadata"]["labels"]}}
            self._endpoints.remember(await self._client.replace(ENDPOINTS, new))


def _owner_uid(found: Object) -> str:
    return next((str(ref["uid"]) for ref in found["metadata"].get("ownerReferences") or ()), "")


def _seen(pod: Object) -> tuple[Any, ...]:
    """What of a pod matters to its services."""
    status = pod.get("status") or {}
    conditions = [(c["type"], c["status"]) for c in status.get("conditions") or () if c["type"] == "Ready"]
    return (
        pod["metadata"].get("labels"),
        deleting(pod),
        status.get("podIP"),
        status.get("phase"),
        conditions,
        pod["spec"].get("nodeName"),
    )
