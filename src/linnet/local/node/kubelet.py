"""The kubelet: a worker for each pod that is bound to this node."""

import asyncio
import os
import shutil

import msgspec
import structlog

from linnet.kube.kinds import POD
from linnet.kube.mirror import Mirror
from linnet.local.node.pods import PodWorker
from linnet.local.node.spec import Object, Pod, decode
from linnet.local.node.surroundings import Surroundings

log = structlog.get_logger()


class Kubelet:
    """Runs the pods of the node while `run` runs; when it is cancelled, they end with it."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._workers: dict[str, PodWorker] = {}  # by uid
        self._new: asyncio.Queue[PodWorker] = asyncio.Queue()
        self._pods = Mirror(
            around.client, POD, fields=f"spec.nodeName={around.options.name}", on_change=self._on_change
        )

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod; of two with one name, the newer."""
        for worker in reversed(self._workers.values()):
            meta = worker.pod.metadata
            if (meta.namespace, meta.name) == (namespace, name):
                return worker
        return None

    def pods(self) -> list[Object]:
        """The pods of the node as the API has them."""
        return [worker.pod.raw for worker in self._workers.values()]

    async def run(self) -> None:
        """Follow the pods of this node, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pods.run())
            await self._pods.synced.wait()
            self._sweep()
            while True:
                worker = await self._new.get()
                tasks.create_task(self._run(worker))

    async def _run(self, worker: PodWorker) -> None:
        uid = worker.pod.metadata.uid
        log.info("pod starts", pod=worker.pod.label)
        await worker.run()
        log.info("pod ended", pod=worker.pod.label)
        del self._workers[uid]

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        """Give news to the worker that it is about. One name may mean another pod than before."""
        old_uid = old["metadata"]["uid"] if old else ""
        if old_uid in self._workers and (new is None or new["metadata"]["uid"] != old_uid):
            self._workers[old_uid].gone()
        if new is None:
            return
        pod = self._decoded(new)
        if pod is None:
            return
        worker = self._workers.get(pod.metadata.uid)
        if worker:
            worker.update(pod)
        else:
            self._workers[pod.metadata.uid] = worker = PodWorker(pod, self._around)
            self._new.put_nowait(worker)

    def _decoded(self, obj: Object) -> Pod | None:
        try:
            return decode(obj)
        except msgspec.ValidationError as error:  # the API server checks pods; this one is beyond us
            log.warning("pod not understood", pod=obj["metadata"]["name"], error=str(error))
            return None

    def _sweep(self) -> None:
        """Delete what pods left that went while the node was down."""
        for root in (self._around.options.directory, self._around.options.memory):
            os.makedirs(root, mode=0o700, exist_ok=True)
            for uid in os.listdir(root):
                if uid not in self._workers:
                    shutil.rmtree(os.path.join(root, uid))
