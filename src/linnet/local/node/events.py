"""Tell users what happens to their pods: an Event object for each thing said, counted when it is repeated."""

import asyncio
import secrets
from collections import OrderedDict

import structlog
from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import EVENT
from linnet.local.node.clock import Now, stamp
from linnet.local.node.spec import Object, Pod

_REMEMBERED = 4096  # things said, of which repetitions are counted

log = structlog.get_logger()


class _Said(Struct, frozen=True):
    """One thing to say about one object."""

    about: tuple[tuple[str, str], ...]  # involvedObject
    type: str
    reason: str
    message: str


class Recorder:
    """Takes what is to be said at once, and writes it one by one in `run`."""

    def __init__(self, client: Client, node: str, now: Now) -> None:
        self._client, self._node, self._now = client, node, now
        self._queue: asyncio.Queue[tuple[_Said, str]] = asyncio.Queue()
        self._written: OrderedDict[_Said, tuple[str, int]] = OrderedDict()  # event name and count

    def pod(self, pod: Pod, reason: str, message: str, *, warning: bool = False, container: str = "") -> None:
        """Say something about a pod or one of its containers."""
        about = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.metadata.name,
            "namespace": pod.metadata.namespace,
            "uid": pod.metadata.uid,
            "resourceVersion": pod.raw["metadata"].get("resourceVersion", ""),
        }
        if container:
            about["fieldPath"] = container
        # repetitions are the same thing said about another version of the pod
        key = _Said(
            tuple((name, value) for name, value in about.items() if name != "resourceVersion"),
            "Warning" if warning else "Normal",
            reason,
            message[:1024],
        )
        self._queue.put_nowait((key, about["resourceVersion"]))

    async def run(self) -> None:
        """Write what was said, for ever; a refusal is logged, an event is not worth more."""
        while True:
            said, version = await self._queue.get()
            try:
                await self._write(said, version)
            except ApiError as error:
                log.info("event refused", reason=said.reason, message=said.message, error=str(error))
            except OSError as error:
                log.warning("event lost", reason=said.reason, message=said.message, error=str(error))

    async def _write(self, said: _Said, version: str) -> None:
        about = dict(said.about)
        namespace = about["namespace"]
        if said in self._written:
            name, count = self._written[said]
            patch = {"count": count + 1, "lastTimestamp": stamp(self._now())}
            try:
                await self._client.patch(EVENT, name, namespace, patch)
            except NotFound:
                del self._written[said]  # expired or deleted meanwhile: say it anew
            else:
                self._written[said] = name, count + 1
                self._written.move_to_end(said)
                return
        event = self._event(said, version)
        await self._client.create(EVENT, event)
        self._written[said] = event["metadata"]["name"], 1
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, said: _Said, version: str) -> Object:
        about = dict(said.about)
        moment = stamp(self._now())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{about['name']}.{secrets.token_hex(8)}",
                "namespace": about["namespace"],
            },
            "involvedObject": about | {"resourceVersion": version},
            "type": said.type,
            "reason": said.reason,
            "message": said.message,
            "source": {"component": "kubelet", "host": self._node},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
