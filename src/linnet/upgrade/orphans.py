"""What nobody would read any more: Istio objects that name a revision which is not there."""

import asyncio
from collections.abc import Iterable

from linnet.install.marks import REV
from linnet.kube.client import Client
from linnet.kube.errors import NotFound
from linnet.kube.kinds import ISTIO, Kind


async def naming(client: Client, revisions: Iterable[str]) -> list[str]:
    """The Istio objects whose label `istio.io/rev` is one of these, as `Kind/NAMESPACE/NAME`, sorted."""
    selector = f"{REV} in ({','.join(sorted(revisions))})"

    async def of(kind: Kind) -> list[str]:
        try:
            items = (await client.list(kind, labels=selector)).items
        except NotFound:  # its CRD is not installed
            return []
        return [f"{kind.name}/{obj['metadata']['namespace']}/{obj['metadata']['name']}" for obj in items]

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(of(kind)) for kind in ISTIO]
    return sorted(name for task in asked for name in task.result())
