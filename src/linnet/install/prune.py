"""What an earlier installation of the same revision left behind.

By revision, never by version, so that leftovers of an older version go too. An object that somebody copied
carries our labels, but neither our field manager nor the name of our Deployment: it stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from linnet.install.apply import Change, Outcome
from linnet.install.marks import COMPONENT, MANAGER, REV, SHARED, TAG_LABEL, Object
from linnet.install.plane import Plane
from linnet.install.ready import identity
from linnet.kube.client import Client
from linnet.kube.errors import Conflict, NotFound
from linnet.kube.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    HORIZONTAL_POD_AUTOSCALER,
    MUTATING_WEBHOOK,
    POD_DISRUPTION_BUDGET,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    VALIDATING_WEBHOOK,
    Kind,
)

_KINDS: tuple[Kind, ...] = (
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    CONFIG_MAP,
    ROLE_BINDING,
    ROLE,
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    SERVICE_ACCOUNT,
    MUTATING_WEBHOOK,
    VALIDATING_WEBHOOK,
)
_SCALING = frozenset({HORIZONTAL_POD_AUTOSCALER.name, POD_DISRUPTION_BUDGET.name})
_NAMESPACE = "install.operator.istio.io/owning-resource-namespace"


def leftovers(live: Iterable[Object], wanted: Iterable[Object], deployments: Iterable[str]) -> list[Object]:
    """The live objects that nobody wants any more (pure).

    What scales one of our `deployments` (by name) is ours, whoever applied it; of gateways nothing else goes.
    """
    kept, names = {identity(obj) for obj in wanted}, set(deployments)

    def goes(obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        if identity(obj) in kept or TAG_LABEL in labels:
            return False
        if obj["kind"] in _SCALING:
            return obj["metadata"]["name"] in names
        return labels[COMPONENT] == "Pilot" and SHARED not in labels and _applied(obj)

    return [obj for obj in live if goes(obj)]


def _applied(obj: Mapping[str, Any]) -> bool:
    fields = obj["metadata"].get("managedFields") or ()
    return any(entry.get("manager") == MANAGER and entry.get("operation") == "Apply" for entry in fields)


async def prune(
    client: Client,
    plane: Plane,
    component: str,
    wanted: Sequence[Object],
    *,
    dry_run: bool = False,
) -> list[Change]:
    """Delete what a component of a plane left behind; `wanted` are all objects that it has now."""
    deployments = [plane.service, *(gateway.name for gateway in plane.gateways)]
    selector = f"{_NAMESPACE}={plane.namespace},{COMPONENT}={component}"
    if component == "Pilot":  # gateways are of whoever serves them now
        selector += f",{REV}={plane.revision_name}"
    changes = []
    for kind in _KINDS:
        live = (await client.list(kind, labels=selector)).items
        for obj in leftovers(live, wanted, deployments):
            meta = obj["metadata"]
            if not dry_run:
                try:
                    await client.delete(kind, meta["name"], meta.get("namespace", ""), uid=meta["uid"])
                except (NotFound, Conflict):
                    continue
            changes.append(Change(identity(obj), Outcome.REMOVED, "left by an earlier installation"))
    return changes
