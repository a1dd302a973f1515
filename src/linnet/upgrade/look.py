"""One look at the cluster: everything that planning a hand-over, a tag or a removal needs."""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct

from linnet.install.marks import COMPONENT, REV, TAG_LABEL, Object
from linnet.install.pilot import recorded
from linnet.install.plane import NAME, Plane, suffixed
from linnet.kube.client import Client
from linnet.kube.errors import Forbidden
from linnet.kube.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    LEASE,
    MUTATING_WEBHOOK,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Kind,
)
from linnet.upgrade.fleet import Gateway, fleet
from linnet.upgrade.injection import labels_of, revision_label
from linnet.upgrade.observe import observe
from linnet.upgrade.retirement import LOCKS, PURGED
from linnet.upgrade.users import Observed, revisions_of_pods


class Seen(Struct, frozen=True):
    """What there is. `objects` are those of an installation, by kind; `records` the planes by revision."""

    observed: Observed
    objects: Mapping[Kind, Sequence[Object]]
    records: Mapping[str, Plane]

    @property
    def default(self) -> str:
        """Who has the default tag, as labels write it; empty: nobody."""
        tags = [hook for hook in self.observed.injectors if labels_of(hook).get(TAG_LABEL) == NAME]
        return revision_label(tags[0]) if tags else ""

    @property
    def present(self) -> tuple[str, ...]:
        """Revisions of which the istiod Deployment or the injector is there and not being deleted."""
        found = set()
        for kind in (DEPLOYMENT, MUTATING_WEBHOOK):
            found |= {
                revision_label(obj)
                for obj in self.objects.get(kind, ())
                if _own(obj) and not obj["metadata"].get("deletionTimestamp")
            }
        return tuple(sorted(found))

    @property
    def able(self) -> frozenset[str]:
        """Revisions that can take something over: their istiod Deployment is there and stays."""
        return frozenset(
            revision_label(obj)
            for obj in self.objects.get(DEPLOYMENT, ())
            if _own(obj) and not obj["metadata"].get("deletionTimestamp")
        )

    @property
    def gateways(self) -> list[Gateway]:
        """All gateways of the mesh."""
        parts = (SERVICE, HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET)
        return fleet(
            [*self.observed.workloads, *(obj for kind in parts for obj in self.objects.get(kind, ()))],
            self.observed.pods,
            self.observed.namespaces,
            self.observed.injectors,
            revisions_of_pods(self.observed.pods),
        )


def _own(obj: Object) -> bool:
    return labels_of(obj).get(COMPONENT) == "Pilot" and TAG_LABEL not in labels_of(obj)


async def look(client: Client, namespace: str, *, streams: bool = True) -> Seen:
    """What there is now; `streams`: also ask each istiod who is connected."""
    async with asyncio.TaskGroup() as tasks:
        lists = {
            kind: tasks.create_task(client.list(kind, labels=COMPONENT)) for kind in PURGED if kind != LEASE
        }
        leases = tasks.create_task(_locks(client, namespace))
        observing = tasks.create_task(observe(client, namespace, ask=streams))
    objects = {kind: task.result().items for kind, task in lists.items()} | {LEASE: leases.result()}
    return Seen(observing.result(), objects, records(objects[CONFIG_MAP], namespace))


async def _locks(client: Client, namespace: str) -> list[Object]:
    """The Leases that istiods made, each for its revision; nothing where they may not be listed."""
    try:
        found = (await client.list(LEASE, namespace)).items
    except Forbidden:
        return []
    return [obj for obj in found if obj["metadata"]["name"].startswith(LOCKS)]


def records(config_maps: Sequence[Object], namespace: str) -> dict[str, Plane]:
    """What is noted about each installation in this namespace, by revision (pure)."""
    found = {}
    for obj in config_maps:
        meta, revision = obj["metadata"], revision_label(obj)
        own = suffixed("values", "" if revision == NAME else revision)
        if meta["name"] == own and meta.get("namespace") == namespace:
            plane = recorded(obj)
            if plane is not None:
                found[labels_of(obj).get(REV, NAME)] = plane
    return found
