"""The status of ResourceQuotas follows what is stored."""

import asyncio
import contextlib
from functools import partial
from typing import Any

from linnet.local.api import quotas
from linnet.local.api.cluster import Cluster
from linnet.local.api.quotas import QUOTAS
from linnet.local.api.records import Event, Record
from linnet.local.api.refusals import Refused
from linnet.local.api.users import SERVER
from linnet.local.api.writeoptions import Options
from linnet.local.api.writing import Writer

Json = dict[str, Any]
_MANAGER = "kube-controller-manager"


class QuotaStatus:
    """Counts again whatever a change may have changed. `start` it inside the event loop, `close` it."""

    def __init__(self, cluster: Cluster, writer: Writer) -> None:
        self._cluster = cluster
        self._writer = writer
        self._due: set[str] = set()  # namespaces
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow every namespaced resource that is built in."""
        buckets = {one.bucket for one in self._cluster.registry.resources.values() if one.namespaced}
        for bucket in buckets:
            self._cluster.store.follow(bucket, self._changed)
        self._due.update(record.load()["metadata"]["namespace"] for record in self._quotas(""))
        self._woken.set()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="quotas")

    async def close(self) -> None:
        """Stop counting."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _quotas(self, namespace: str) -> list[Record]:
        return self._cluster.store.records(QUOTAS, namespace)

    def _changed(self, event: Event) -> None:
        namespace = event.record.key.partition("|")[2].partition("/")[0]
        if namespace not in self._due and self._quotas(namespace):
            self._due.add(namespace)
            self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._due:
                await self._count(self._due.pop())

    async def _count(self, namespace: str) -> None:
        resource = self._cluster.resource("", QUOTAS)
        options = Options(SERVER, _MANAGER, lambda _text: None)
        for record in self._quotas(namespace):
            quota = record.load()
            status = quotas.status(self._cluster, quota)
            if quota.get("status") == status:
                continue
            name = quota["metadata"]["name"]
            with contextlib.suppress(Refused):  # it has gone, or changes so fast that its next change counts
                await self._writer.change(
                    resource,
                    namespace,
                    name,
                    partial(_with_status, status),
                    options,
                    subresource="status",
                )


def _with_status(status: Json, live: Json) -> Json:
    return {**live, "status": status}
