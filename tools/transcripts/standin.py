"""A stand-in for the node of the recordings: pods become Running and Ready soon after they are scheduled.

Containers whose image begins with `missing` stay in ImagePullBackOff; deleted pods go away a moment later.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import NODE, POD
from linnet.kube.mirror import Mirror

Json = dict[str, Any]

_NODE = "node-1"
_ADDRESS = "198.51.100.1"
_STARTS_AFTER = 0.1  # seconds
_ENDS_AFTER = 1.5


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class StandIn:
    """Plays the kubelet of one node."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._next_address = 10
        self._seen: set[str] = set()
        self._ending: set[str] = set()
        self._pods: asyncio.Queue[Json] = asyncio.Queue()

    async def run(self) -> None:
        """Play until cancelled."""
        await self._register()
        mirror = Mirror(self._client, POD, on_change=self._changed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mirror.run())
            while True:
                pod = await self._pods.get()
                tasks.create_task(self._play(pod))

    def _changed(self, _old: Json | None, new: Json | None) -> None:
        if new is None or new.get("spec", {}).get("nodeName") != _NODE:
            return
        uid = new["metadata"]["uid"]
        if new["metadata"].get("deletionTimestamp"):
            if uid not in self._ending:
                self._ending.add(uid)
                self._pods.put_nowait(new)
        elif uid not in self._seen:
            self._seen.add(uid)
            self._pods.put_nowait(new)

    async def _register(self) -> None:
        resources = {"cpu": "4", "memory": "8Gi", "pods": "110"}
        node: Json = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": _NODE,
                "labels": {"kubernetes.io/hostname": _NODE, "kubernetes.io/os": "linux"},
            },
        }
        status = {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": _ADDRESS},
                {"type": "Hostname", "address": _NODE},
            ],
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                    "lastHeartbeatTime": _now(),
                    "lastTransitionTime": _now(),
                }
            ],
        }
        try:
            await self._client.get(NODE, _NODE)
        except NotFound:
            await self._client.create(NODE, node)
        await self._client.patch(NODE, _NODE, "", {"status": status}, subresource="status")

    async def _play(self, pod: Json) -> None:
        meta = pod["metadata"]
        try:
            if meta.get("deletionTimestamp"):
                await asyncio.sleep(_ENDS_AFTER)
                await self._client.delete(
                    POD, meta["name"], meta["namespace"], grace_seconds=0, uid=meta["uid"]
                )
            else:
                await asyncio.sleep(_STARTS_AFTER)
                status = {"status": self._status(pod)}
                await self._client.patch(POD, meta["name"], meta["namespace"], status, subresource="status")
        except ApiError:
            return  # deleted or replaced meanwhile: nothing left to play

    def _status(self, pod: Json) -> Json:
        self._next_address += 1
        address = f"10.244.{self._next_address // 250}.{self._next_address % 250 + 1}"
        containers = [_container(container) for container in pod["spec"]["containers"]]
        ready = all(container["ready"] for container in containers)
        flags = {"PodReadyToStartContainers": True, "Initialized": True, "Ready": ready}
        flags |= {"ContainersReady": ready, "PodScheduled": True}
        return {
            "observedGeneration": pod["metadata"].get("generation", 1),
            "phase": "Running" if ready else "Pending",
            "conditions": [
                {
                    "type": kind,
                    "status": "True" if flag else "False",
                    "lastProbeTime": None,
                    "lastTransitionTime": _now(),
                }
                for kind, flag in flags.items()
            ],
            "containerStatuses": containers,
            "hostIP": _ADDRESS,
            "hostIPs": [{"ip": _ADDRESS}],
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": _now(),
        }


def _container(container: Json) -> Json:
    image = container["image"]
    missing = image.startswith("missing")
    if missing:
        message = f'Back-off pulling image "{image}"'
        state: Json = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
    else:
        state = {"running": {"startedAt": _now()}}
    return {
        "name": container["name"],
        "image": image,
        "imageID": "" if missing else "sha256:0000",
        **({} if missing else {"containerID": "containerd://c"}),
        "ready": not missing,
        "started": not missing,
        "restartCount": 0,
        "state": state,
        "lastState": {},
    }


async def play(config: Config) -> None:
    """Play the node of a cluster until cancelled."""
    async with Client(config, user_agent="kubelet", manager="kubelet") as client:
        await StandIn(client).run()
