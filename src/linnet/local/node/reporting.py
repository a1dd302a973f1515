"""Write the status of a pod: only when it differs from the last one written, one write at a time."""

import asyncio
from collections.abc import Callable

import structlog

from linnet.kube.client import Client
from linnet.kube.errors import Conflict, NotFound
from linnet.kube.kinds import POD
from linnet.local.node.spec import Object, Pod

_RETRY = 1.0  # seconds after a failed write

log = structlog.get_logger()


class Reporter:
    """Writes `status(previous)` of one pod whenever `changed` was set."""

    def __init__(self, client: Client, pod: Pod, status: Callable[[Object], Object]) -> None:
        self.changed = asyncio.Event()
        self._client, self._status = client, status
        self._name, self._namespace, self._uid = pod.metadata.name, pod.metadata.namespace, pod.metadata.uid
        self._written: Object = pod.raw.get("status") or {}
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Write after each change, for ever."""
        while True:
            await self.changed.wait()
            try:
                await self.flush()
            except OSError as error:
                log.warning("pod status not written", pod=f"{self._namespace}/{self._name}", error=str(error))
                await asyncio.sleep(_RETRY)

    async def flush(self) -> None:
        """Write now if anything changed. A pod that is gone is no error. Raises OSError."""
        async with self._writing:
            self.changed.clear()
            status = self._status(self._written)
            if status == self._written:
                return
            patch = {"metadata": {"uid": self._uid}, "status": status}
            try:
                await self._client.patch(POD, self._name, self._namespace, patch, subresource="status")
            except (NotFound, Conflict):
                return  # deleted, or made anew under the same name: the watch tells
            except OSError:
                self.changed.set()
                raise
            self._written = status
