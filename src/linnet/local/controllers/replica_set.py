"""The ReplicaSet controller: as many pods as wanted."""

from datetime import UTC, datetime
from typing import Any

from linnet.kube.client import Client
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import POD, REPLICA_SET
from linnet.kube.mirror import Key, Mirror
from linnet.kube.selectors import matches
from linnet.local.controllers.events import Recorder
from linnet.local.controllers.owners import controller_of, deleting, owned_by, reference
from linnet.local.controllers.queue import Queue
from linnet.local.controllers.replicas import active, first_to_go, pod_of, status

Object = dict[str, Any]
BURST = 500  # pods created or deleted in one round. Source: kube-controller-manager


class ReplicaSetController:
    """Creates and deletes pods; reads mirrors, writes through the client."""

    def __init__(self, client: Client, replica_sets: Mirror, pods: Mirror) -> None:
        self._client, self._sets, self._pods = client, replica_sets, pods
        self._events = Recorder(client, "replicaset-controller")
        self.queue: Queue[Key] = Queue("replicaset", self.reconcile)

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Queue the ReplicaSet to which a pod belongs, or which may adopt it."""
        for pod in (old, new):
            if pod is None:
                continue
            namespace = pod["metadata"]["namespace"]
            owner = controller_of(pod)
            if owner:
                if owner["kind"] == "ReplicaSet":
                    self.queue.add((namespace, owner["name"]))
            elif pod["metadata"].get("labels"):
                for key, found in self._sets.items():
                    if key[0] == namespace and matches(found["spec"]["selector"], pod["metadata"]["labels"]):
                        self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Bring one ReplicaSet's pods and status to what its spec says."""
        owner = self._sets.get(key)
        if owner is None or deleting(owner):
            return
        pods = [pod for pod in self._pods.values() if pod["metadata"]["namespace"] == key[0]]
        await self._adopt(owner, pods)
        mine = [pod for pod in self._pods.values() if owned_by(pod, owner)]
        counted, wanted = active(mine), int(owner["spec"].get("replicas", 1))
        failure = ""
        if len(counted) < wanted:
            failure = await self._create(owner, min(BURST, wanted - len(counted)))
        elif len(counted) > wanted:
            for pod in first_to_go(counted)[: len(counted) - wanted][:BURST]:
                await self._delete(owner, pod)
        now = datetime.now(UTC)
        mine = [pod for pod in self._pods.values() if owned_by(pod, owner)]
        new, again = status(owner, mine, failure, now)
        if new != (owner.get("status") or {}):
            stored = await self._client.replace(REPLICA_SET, owner | {"status": new}, subresource="status")
            self._sets.remember(stored)
        if failure:
            raise OSError(failure)  # again, later and later
        if again:
            self.queue.add(key, after=again)

    async def _adopt(self, owner: Object, pods: list[Object]) -> None:
        for pod in pods:
            if controller_of(pod) or deleting(pod):
                continue
            if matches(owner["spec"]["selector"], pod["metadata"].get("labels")):
                refs = [*(pod["metadata"].get("ownerReferences") or ()), reference(owner)]
                patch = {"metadata": {"uid": pod["metadata"]["uid"], "ownerReferences": refs}}
                meta = pod["metadata"]
                self._pods.remember(await self._client.patch(POD, meta["name"], meta["namespace"], patch))

    async def _create(self, owner: Object, count: int) -> str:
        for _ in range(count):
            try:
                pod = await self._client.create(POD, pod_of(owner, reference(owner)))
            except ApiError as error:
                await self._events.record(
                    owner, "FailedCreate", f"Error creating: {error.message}", warning=True
                )
                return error.message
            self._pods.remember(pod)
            await self._events.record(owner, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return ""

    async def _delete(self, owner: Object, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            left = await self._client.delete(POD, meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
        if left.get("kind") == "Pod" and deleting(left):
            self._pods.remember(left)
        await self._events.record(owner, "SuccessfulDelete", f"Deleted pod: {meta['name']}")
