"""The scheduler: each pod goes to a node that takes it (there is one, so this is a question of yes or no)."""

from datetime import UTC, datetime
from typing import Any

from linnet.kube.client import Client
from linnet.kube.kinds import POD
from linnet.kube.mirror import Key, Mirror
from linnet.local.controllers.events import Recorder
from linnet.local.controllers.owners import deleting
from linnet.local.controllers.queue import Queue
from linnet.local.controllers.replicas import condition

Object = dict[str, Any]
NAME = "default-scheduler"


def refusal(pod: Object, node: Object) -> str:
    """Why a node does not take a pod, in the scheduler's words; empty when it does."""
    if node["spec"].get("unschedulable") and not _tolerates(
        pod, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    ):
        return "node(s) were unschedulable"
    wanted = pod["spec"].get("nodeSelector") or {}
    if not wanted.items() <= (node["metadata"].get("labels") or {}).items():
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] in ("NoSchedule", "NoExecute") and not _tolerates(pod, taint):
            return "node(s) had untolerated taint(s)"
    ready = condition(node, "Ready")
    if ready is None or ready["status"] != "True":
        return "node(s) were not ready"
    return ""


def _tolerates(pod: Object, taint: Object) -> bool:
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("effect") not in (None, "", taint["effect"]):
            continue
        if toleration.get("key") not in (None, "", taint["key"]):
            continue
        if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


class Scheduler:
    """Binds pods without a node."""

    def __init__(self, client: Client, pods: Mirror, nodes: Mirror) -> None:
        self._client, self._pods, self._nodes = client, pods, nodes
        self._events = Recorder(client, NAME, instance=NAME)
        self.queue: Queue[Key] = Queue("scheduler", self.reconcile)

    def pod_changed(self, new: Object) -> None:
        """Queue a pod that has no node yet."""
        if not new["spec"].get("nodeName") and not deleting(new):
            self.queue.add((new["metadata"]["namespace"], new["metadata"]["name"]))

    def node_changed(self) -> None:
        """Queue every pod that waits."""
        for pod in self._pods.values():
            self.pod_changed(pod)

    async def reconcile(self, key: Key) -> None:
        """Bind one pod, or say why not."""
        pod = self._pods.get(key)
        if pod is None or pod["spec"].get("nodeName") or deleting(pod):
            return
        if pod["spec"].get("schedulerName", NAME) != NAME or pod["spec"].get("schedulingGates"):
            return
        refusals = [refusal(pod, node) for node in self._nodes.values()]
        for node, why in zip(list(self._nodes.values()), refusals, strict=True):
            if not why:
                await self._bind(pod, node["metadata"]["name"])
                return
        await self._refuse(pod, refusals)

    async def _bind(self, pod: Object, node: str) -> None:
        meta = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._client.create(POD, binding, subresource="binding")
        text = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
        await self._events.record(pod, "Scheduled", text)

    async def _refuse(self, pod: Object, refusals: list[str]) -> None:
        counts = ", ".join(f"{refusals.count(why)} {why}" for why in sorted(set(refusals)))
        message = f"0/{len(refusals)} nodes are available: {counts}."
        if not refusals:
            message = "no nodes available to schedule pods"
        before = condition(pod, "PodScheduled")
        if before and before["status"] == "False" and before.get("message") == message:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        waiting = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": now,
            "lastProbeTime": None,
        }
        others = [c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] != "PodScheduled"]
        status = {**(pod.get("status") or {}), "conditions": [*others, waiting]}
        self._pods.remember(await self._client.replace(POD, pod | {"status": status}, subresource="status"))
        await self._events.record(pod, "FailedScheduling", message, warning=True)
