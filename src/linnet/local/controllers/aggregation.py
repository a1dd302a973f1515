"""ClusterRoles that collect the rules of others.

Source: Kubernetes, the clusterrole aggregation controller.
"""

from typing import Any

from linnet.kube.client import Client
from linnet.kube.kinds import CLUSTER_ROLE
from linnet.kube.mirror import Key, Mirror
from linnet.kube.selectors import matches
from linnet.local.controllers.queue import Queue

Object = dict[str, Any]
_MANAGER = "clusterrole-aggregation-controller"


def collected(role: Object, others: list[Object]) -> list[Object]:
    """The rules of the selected roles in order of their names, each rule once."""
    wanted = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    rules: list[Object] = []
    for other in sorted(others, key=lambda one: str(one["metadata"]["name"])):
        labels = other["metadata"].get("labels") or {}
        if other["metadata"]["name"] == role["metadata"]["name"]:
            continue
        if any(_selects(selector, labels) for selector in wanted):
            rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    try:
        return matches(selector, labels)
    except ValueError:
        return False  # a selector that means nothing selects nothing


class AggregationController:
    """Keeps the rules of aggregated ClusterRoles what their parts say."""

    def __init__(self, client: Client, roles: Mirror) -> None:
        self._client, self._roles = client, roles
        self.queue: Queue[Key] = Queue("aggregation", self.reconcile)

    def role_changed(self) -> None:
        """Queue every role that collects."""
        for role in self._roles.values():
            if role.get("aggregationRule"):
                self.queue.add(("", role["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        """Write the rules of one role, if they differ."""
        role = self._roles.get(key)
        if role is None or not role.get("aggregationRule"):
            return
        rules = collected(role, list(self._roles.values()))
        if rules == (role.get("rules") or []):
            return
        wanted = {
            "apiVersion": role["apiVersion"],
            "kind": role["kind"],
            "metadata": {"name": role["metadata"]["name"]},
            "rules": rules,
        }
        self._roles.remember(await self._client.apply(CLUSTER_ROLE, wanted, manager=_MANAGER))
