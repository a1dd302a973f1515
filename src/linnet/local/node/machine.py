"""The Node object: what this machine is and has, its heartbeat Lease, its images.

Source: Kubernetes API reference, Node, Lease; "Nodes"; a recording of a kubelet 1.35.
"""

import asyncio
import os
import platform
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

import structlog
from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists, NotFound
from linnet.kube.kinds import LEASE, NODE
from linnet.local.node.clock import Now, micro, stamp
from linnet.local.node.spec import Object
from linnet.local.node.status import RUNTIME
from linnet.local.node.surroundings import Options

PODS = 110
KUBELET_VERSION = "v1.35.4"
_LEASES = "kube-node-lease"
_LEASE_SECONDS = 40
_RENEW_SECONDS = 10.0
_STATUS_SECONDS = 300.0  # between heartbeats in the status when nothing changes
_PORT = 10250
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)

log = structlog.get_logger()


class Machine(Struct, frozen=True):
    """What this machine is and has."""

    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    boot_id: str
    cores: int
    memory: int  # bytes
    storage: int  # bytes of the file system of the state directory

    @property
    def capacity(self) -> dict[str, Decimal]:
        """Cores and bytes, for resourceFieldRef."""
        return {
            "cpu": Decimal(self.cores),
            "memory": Decimal(self.memory),
            "ephemeral-storage": Decimal(self.storage),
        }


def this_machine(directory: str) -> Machine:
    """The machine that this process runs on. `directory` is on the disk that counts as storage."""
    disk = os.statvfs(directory)
    return Machine(
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        kernel=platform.release(),
        os_image=_os_image(_content("/etc/os-release")),
        machine_id=_content("/etc/machine-id").strip(),
        boot_id=_content("/proc/sys/kernel/random/boot_id").strip(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        storage=disk.f_frsize * disk.f_blocks,
    )


def _content(path: str) -> str:
    """The text of a file that some machines lack."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _os_image(release: str) -> str:
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.MULTILINE)
    return found[1] if found else "Linux"


def node_object(machine: Machine, options: Options) -> Object:
    """The Node as it is registered."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": options.name,
            "labels": {
                "beta.kubernetes.io/arch": machine.architecture,
                "beta.kubernetes.io/os": "linux",
                "kubernetes.io/arch": machine.architecture,
                "kubernetes.io/hostname": options.name,
                "kubernetes.io/os": "linux",
            },
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {"podCIDR": options.pod_cidr, "podCIDRs": [options.pod_cidr]},
    }


def node_status(
    machine: Machine,
    options: Options,
    images: Sequence[str],
    previous: Mapping[str, Object],
    moment: str,
    version: str,
) -> Object:
    """The status of the Node. `previous` are its conditions by type: unchanged ones keep their time."""
    resources = {
        "cpu": str(machine.cores),
        "ephemeral-storage": f"{machine.storage // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory // 1024}Ki",
        "pods": str(PODS),
    }
    return {
        "addresses": [
            {"type": "InternalIP", "address": options.ip},
            {"type": "Hostname", "address": options.name},
        ],
        "allocatable": resources,
        "capacity": resources,
        "conditions": _conditions(previous, moment),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": _PORT}},
        "images": [{"names": [name], "sizeBytes": 0} for name in images],
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": f"{RUNTIME}://{version}",
            "kernelVersion": machine.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "systemUUID": machine.machine_id,
        },
    }


def _conditions(previous: Mapping[str, Object], moment: str) -> list[Object]:
    found = []
    for kind, value, reason, message in _CONDITIONS:
        old = previous.get(kind, {})
        since = old["lastTransitionTime"] if old.get("status") == value else moment
        found.append(
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": moment,
                "lastTransitionTime": since,
            }
        )
    return found


class Registration:
    """Keeps the Node object and its Lease alive."""

    def __init__(
        self,
        client: Client,
        machine: Machine,
        options: Options,
        images: Sequence[str],
        now: Now,
        version: str,
    ) -> None:
        self._client, self._machine, self._options, self._images = client, machine, options, images
        self._now, self._version = now, version

    async def run(self) -> None:
        """Register, then beat, for ever. Failures are tried again at the next beat."""
        loop = asyncio.get_running_loop()
        due = 0.0
        while True:
            try:
                if loop.time() >= due:
                    await self._register()
                    due = loop.time() + _STATUS_SECONDS
                await self._beat()
                pause = _RENEW_SECONDS
            except OSError as error:
                log.warning("node not reported", error=str(error))
                pause = 1.0
            await asyncio.sleep(pause)

    async def _register(self) -> None:
        name = self._options.name
        try:
            node = await self._client.get(NODE, name)
        except NotFound:
            try:
                node = await self._client.create(NODE, node_object(self._machine, self._options))
            except AlreadyExists:
                node = await self._client.get(NODE, name)
        previous = {entry["type"]: entry for entry in (node.get("status") or {}).get("conditions") or ()}
        moment = stamp(self._now())
        status = node_status(self._machine, self._options, self._images, previous, moment, self._version)
        await self._client.patch(NODE, name, "", {"status": status}, subresource="status")

    async def _beat(self) -> None:
        name = self._options.name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": _LEASE_SECONDS,
            "renewTime": micro(self._now()),
        }
        try:
            await self._client.patch(LEASE, name, _LEASES, {"spec": spec})
        except NotFound:
            lease = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.name,
                "metadata": {"name": name, "namespace": _LEASES},
                "spec": spec,
            }
            await self._client.create(LEASE, lease)
