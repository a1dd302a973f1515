"""The Deployment controller: from one ReplicaSet to the next, never below the promised number of pods."""

from datetime import UTC, datetime
from typing import Any

from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists
from linnet.kube.kinds import DEPLOYMENT, REPLICA_SET
from linnet.kube.mirror import Key, Mirror
from linnet.kube.selectors import matches
from linnet.local.controllers import rollout
from linnet.local.controllers.events import Recorder
from linnet.local.controllers.owners import controller_of, deleting, owned_by, reference
from linnet.local.controllers.progress import deadline, deployment_status
from linnet.local.controllers.queue import Queue

Object = dict[str, Any]


class DeploymentController:
    """Creates, sizes and prunes ReplicaSets; reads mirrors, writes through the client."""

    def __init__(self, client: Client, deployments: Mirror, replica_sets: Mirror) -> None:
        self._client, self._deployments, self._sets = client, deployments, replica_sets
        self._events = Recorder(client, "deployment-controller")
        self.queue: Queue[Key] = Queue("deployment", self.reconcile)

    def replica_set_changed(self, old: Object | None, new: Object | None) -> None:
        """Queue the Deployment to which a ReplicaSet belongs, or which may adopt it."""
        for found in (old, new):
            if found is None:
                continue
            namespace, owner = found["metadata"]["namespace"], controller_of(found)
            if owner:
                self.queue.add((namespace, owner["name"]))
                continue
            for key, deployment in self._deployments.items():
                if key[0] == namespace and matches(
                    deployment["spec"]["selector"], found["metadata"].get("labels")
                ):
                    self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Take one step of a rollout and report."""
        deployment = self._deployments.get(key)
        if deployment is None or deleting(deployment):
            return
        await self._adopt(deployment)
        sets = self._owned(deployment)
        new, created = rollout.newest(deployment, sets), False
        if new is None and not deployment["spec"].get("paused"):
            new, created = await self._create(deployment, sets), True
        old = [found for found in self._owned(deployment) if new is None or _uid(found) != _uid(new)]
        if new is not None and not deployment["spec"].get("paused"):
            new = await self._mark(deployment, new, old)
        for step in rollout.steps(deployment, new, old):
            await self._scale(deployment, step)
        for found in rollout.history_to_prune(deployment, old):
            await self._client.delete(REPLICA_SET, found["metadata"]["name"], key[0], uid=_uid(found))
        await self._report(key, deployment, new, created=created)

    def _owned(self, deployment: Object) -> list[Object]:
        return [found for found in self._sets.values() if owned_by(found, deployment) and not deleting(found)]

    async def _report(self, key: Key, deployment: Object, new: Object | None, *, created: bool) -> None:
        now = datetime.now(UTC)
        old = [found for found in self._owned(deployment) if new is None or _uid(found) != _uid(new)]
        new = self._sets.get((key[0], new["metadata"]["name"]), new) if new else None
        annotated = self._deployments.get(key, deployment)
        if new is not None:
            annotated = await self._number(annotated, rollout.revision(new))
        status = deployment_status(annotated, new, old, created=created, now=now)
        if status != (annotated.get("status") or {}):
            stored = await self._client.replace(
                DEPLOYMENT, annotated | {"status": status}, subresource="status"
            )
            self._deployments.remember(stored)
            annotated = stored
        left = deadline(annotated, now)
        if left != float("inf"):
            self.queue.add(key, after=max(0.1, left))

    async def _number(self, deployment: Object, number: int) -> Object:
        annotations = deployment["metadata"].get("annotations") or {}
        if not number or annotations.get(rollout.REVISION) == str(number):
            return deployment
        meta = deployment["metadata"]
        patch = {"metadata": {"annotations": {rollout.REVISION: str(number)}}}
        name, namespace = meta["name"], meta["namespace"]
        stored = await self._client.patch(DEPLOYMENT, name, namespace, patch, subresource="status")
        self._deployments.remember(stored)
        return stored

    async def _adopt(self, deployment: Object) -> None:
        meta = deployment["metadata"]
        for (namespace, name), found in list(self._sets.items()):
            if namespace != meta["namespace"] or controller_of(found) or deleting(found):
                continue
            if matches(deployment["spec"]["selector"], found["metadata"].get("labels")):
                refs = [*(found["metadata"].get("ownerReferences") or ()), reference(deployment)]
                patch = {"metadata": {"uid": _uid(found), "ownerReferences": refs}}
                self._sets.remember(await self._client.patch(REPLICA_SET, name, namespace, patch))

    async def _create(self, deployment: Object, old: list[Object]) -> Object:
        meta = deployment["metadata"]
        collisions = int((deployment.get("status") or {}).get("collisionCount") or 0)
        template = deployment["spec"]["template"]
        mark = rollout.template_hash(template, collisions)
        labels = dict(template["metadata"].get("labels") or {}) | {rollout.HASH_LABEL: mark}
        size = rollout.first_size(deployment, old)
        selector = deployment["spec"]["selector"]
        match_labels = dict(selector.get("matchLabels") or {}) | {rollout.HASH_LABEL: mark}
        fresh: Object = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{meta['name']}-{mark}",
                "namespace": meta["namespace"],
                "labels": labels,
                "annotations": self._annotations(deployment, 1 + max(map(rollout.revision, old), default=0)),
                "ownerReferences": [reference(deployment)],
            },
            "spec": {
                "replicas": size,
                "selector": selector | {"matchLabels": match_labels},
                "template": template | {"metadata": template["metadata"] | {"labels": labels}},
            },
        }
        if deployment["spec"].get("minReadySeconds"):
            fresh["spec"]["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
        try:
            stored = await self._client.create(REPLICA_SET, fresh)
        except AlreadyExists:
            await self._settle_collision(deployment, fresh["metadata"]["name"], collisions)
            raise
        self._sets.remember(stored)
        if size:
            await self._say(deployment, "up", stored["metadata"]["name"], 0, size)
        return stored

    async def _settle_collision(self, deployment: Object, name: str, collisions: int) -> None:
        """Another template's ReplicaSet has this name: count, so that the next try gets another name."""
        meta = deployment["metadata"]
        found = await self._client.get(REPLICA_SET, name, meta["namespace"])
        if owned_by(found, deployment) and rollout.same_template(deployment, found):
            return  # ours after all: the mirror is behind
        patch = {"status": {"collisionCount": collisions + 1}}
        stored = await self._client.patch(
            DEPLOYMENT, meta["name"], meta["namespace"], patch, subresource="status"
        )
        self._deployments.remember(stored)

    def _annotations(self, deployment: Object, number: int) -> dict[str, str]:
        surge, _ = rollout.bounds(deployment)
        wanted = rollout.replicas(deployment)
        return rollout.copied_annotations(deployment) | {
            rollout.REVISION: str(number),
            rollout.DESIRED: str(wanted),
            rollout.MAX_REPLICAS: str(wanted + surge),
        }

    async def _mark(self, deployment: Object, new: Object, old: list[Object]) -> Object:
        """Keep the newest ReplicaSet's revision above all others, remembering what it was before."""
        highest = max(map(rollout.revision, old), default=0)
        number = rollout.revision(new)
        annotations = self._annotations(deployment, max(number, highest + 1 if number <= highest else number))
        have = new["metadata"].get("annotations") or {}
        if number and number <= highest:
            history = have.get(rollout.REVISION_HISTORY, "")
            annotations[rollout.REVISION_HISTORY] = f"{history},{number}" if history else str(number)
        annotations[rollout.DESIRED] = have.get(rollout.DESIRED, annotations[rollout.DESIRED])
        annotations[rollout.MAX_REPLICAS] = have.get(rollout.MAX_REPLICAS, annotations[rollout.MAX_REPLICAS])
        if annotations.items() <= have.items():
            return new
        meta = new["metadata"]
        patch = {"metadata": {"annotations": annotations}}
        stored = await self._client.patch(REPLICA_SET, meta["name"], meta["namespace"], patch)
        self._sets.remember(stored)
        return stored

    async def _scale(self, deployment: Object, step: rollout.Scale) -> None:
        namespace = deployment["metadata"]["namespace"]
        found = self._sets[namespace, step.name]
        surge, _ = rollout.bounds(deployment)
        wanted = rollout.replicas(deployment)
        sizes = {rollout.DESIRED: str(wanted), rollout.MAX_REPLICAS: str(wanted + surge)}
        patch = {"metadata": {"annotations": sizes}, "spec": {"replicas": step.replicas}}
        self._sets.remember(await self._client.patch(REPLICA_SET, step.name, namespace, patch))
        before = rollout.replicas(found)
        if step.replicas != before:
            way = "up" if step.replicas > before else "down"
            await self._say(deployment, way, step.name, before, step.replicas)

    async def _say(self, deployment: Object, way: str, name: str, before: int, after: int) -> None:
        text = f"Scaled {way} replica set {name} from {before} to {after}"
        await self._events.record(deployment, "ScalingReplicaSet", text)


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])
