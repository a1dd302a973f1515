"""The namespace controller: what each namespace is born with, and emptying those that are deleted."""

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from linnet.kube.kinds import CONFIG_MAP, NAMESPACE, SERVICE_ACCOUNT, Kind
from linnet.kube.mirror import Mirror
from linnet.local.controllers.discovery import deletable
from linnet.local.controllers.leftovers import deletion_conditions
from linnet.local.controllers.owners import Object, deleting
from linnet.local.controllers.queue import Queue

ROOT_CA = "kube-root-ca.crt"
FURNITURE = ((SERVICE_ACCOUNT, "default"), (CONFIG_MAP, ROOT_CA))  # what every namespace has
# Recorded from a 1.35 server: clients show it.
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints "
    "such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
    "distributions of Kubernetes clusters."
)


class NamespaceController:
    """Default service account, root CA ConfigMap; deletion of content before the namespace itself."""

    def __init__(self, client: Client, namespaces: Mirror, *, ca: str) -> None:
        self._client, self._namespaces, self._ca = client, namespaces, ca
        self.queue: Queue[str] = Queue("namespace", self.reconcile)

    async def reconcile(self, name: str) -> None:
        """Furnish a living namespace, or empty a dying one."""
        found = self._namespaces.get(("", name))
        if found is None:
            return
        if deleting(found):
            await self._empty(name)
            return
        await self._furnish(name)

    async def _furnish(self, namespace: str) -> None:
        account: Object = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": namespace},
        }
        annotations = {"kubernetes.io/description": _DESCRIPTION}
        root: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": ROOT_CA, "namespace": namespace, "annotations": annotations},
            "data": {"ca.crt": self._ca},
        }
        for kind, obj in ((SERVICE_ACCOUNT, account), (CONFIG_MAP, root)):
            try:
                await self._client.create(kind, obj)
            except AlreadyExists:
                await self._mend(kind, obj)
            except ApiError as error:
                if error.code != 403 or not await self._terminating(namespace):
                    raise

    async def _mend(self, kind: Kind, obj: Object) -> None:
        if kind is CONFIG_MAP:
            have = await self._client.get(kind, ROOT_CA, obj["metadata"]["namespace"])
            if have.get("data") != obj["data"]:
                await self._client.replace(kind, have | {"data": obj["data"]})

    async def _terminating(self, namespace: str) -> bool:
        try:
            return deleting(await self._client.get(NAMESPACE, namespace))
        except NotFound:
            return True

    async def _empty(self, namespace: str) -> None:
        left = 0
        waiting: dict[Kind, list[Object]] = {}  # deleted already, but still there
        for kind in await deletable(self._client):
            if not kind.namespaced:
                continue
            listing = await self._client.list(kind, namespace)
            left += len(listing.items)
            for item in listing.items:
                if deleting(item):
                    waiting.setdefault(kind, []).append(item)
                else:
                    await self._delete(kind, item)
        if left:
            if waiting:
                await self._say(namespace, waiting)
            self.queue.add(namespace, after=0.1)
            return
        try:
            found = await self._client.get(NAMESPACE, namespace)
            found["spec"] = {"finalizers": []}
            path = NAMESPACE.path("", namespace, "finalize")
            await self._client.raw("PUT", path, body=orjson.dumps(found))
        except NotFound:
            return

    async def _say(self, namespace: str, waiting: Mapping[Kind, list[Object]]) -> None:
        """What the namespace waits for, in its conditions."""
        found = self._namespaces.get(("", namespace))
        before = ((found or {}).get("status") or {}).get("conditions") or []
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = deletion_conditions(waiting, before, now)
        if wanted == before:
            return
        try:
            stored = await self._client.patch(
                NAMESPACE, namespace, "", {"status": {"conditions": wanted}}, subresource="status"
            )
        except (NotFound, Conflict):
            return
        self._namespaces.remember(stored)

    async def _delete(self, kind: Kind, item: Object) -> None:
        meta = item["metadata"]
        try:
            await self._client.delete(kind, meta["name"], meta["namespace"], uid=meta["uid"])
        except (NotFound, Conflict):
            return
