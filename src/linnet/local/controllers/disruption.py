"""The status of PodDisruptionBudgets: how many of their pods may go now."""

import math
from typing import Any

from linnet.kube.client import Client
from linnet.kube.kinds import POD_DISRUPTION_BUDGET
from linnet.kube.mirror import Key, Mirror
from linnet.kube.selectors import matches
from linnet.local.controllers.owners import deleting
from linnet.local.controllers.queue import Queue
from linnet.local.controllers.replicas import finished, ready

Object = dict[str, Any]


def budget_status(budget: Object, pods: list[Object]) -> Object:
    """Counts of a budget over the pods that it selects. Source: Kubernetes, PodDisruptionBudget."""
    expected = len(pods)
    healthy = sum(ready(pod) and not deleting(pod) for pod in pods)
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        desired = expected - _number(spec["maxUnavailable"], expected)
    else:
        desired = _number(spec.get("minAvailable", 1), expected)
    return {
        "currentHealthy": healthy,
        "desiredHealthy": max(0, desired),
        "expectedPods": expected,
        "disruptionsAllowed": max(0, healthy - max(0, desired)) if expected else 0,
        "observedGeneration": budget["metadata"].get("generation", 0),
    }


def _number(value: int | str, total: int) -> int:
    return value if isinstance(value, int) else math.ceil(int(value.rstrip("%")) * total / 100)


class DisruptionController:
    """Writes a budget's status when its counts change."""

    def __init__(self, client: Client, budgets: Mirror, pods: Mirror) -> None:
        self._client, self._budgets, self._pods = client, budgets, pods
        self.queue: Queue[Key] = Queue("disruption", self.reconcile)

    def pod_changed(self, pod: Object) -> None:
        """Queue the budgets that select a pod."""
        for key, budget in self._budgets.items():
            if key[0] == pod["metadata"]["namespace"] and _selects(budget, pod):
                self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Count again."""
        budget = self._budgets.get(key)
        if budget is None or deleting(budget):
            return
        pods = [
            pod for pod in self._pods.values() if pod["metadata"]["namespace"] == key[0] and not finished(pod)
        ]
        before = budget.get("status") or {}
        status = before | budget_status(budget, [pod for pod in pods if _selects(budget, pod)])
        if status != before:
            new = budget | {"status": status}
            self._budgets.remember(
                await self._client.replace(POD_DISRUPTION_BUDGET, new, subresource="status")
            )


def _selects(budget: Object, pod: Object) -> bool:
    return matches(budget["spec"].get("selector"), pod["metadata"].get("labels"))
