"""What all pods of the node share, and where and how the node is."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.mirror import Mirror
from linnet.local.node.clock import Now
from linnet.local.node.container_spec import Container
from linnet.local.node.events import Recorder
from linnet.local.node.images import Image
from linnet.local.node.pipes import Output
from linnet.local.node.runtime import Command, Process, Sandbox, Sandboxes, Stdio
from linnet.local.node.sources import Sources
from linnet.local.node.spec import Pod


class Options(Struct, frozen=True):
    """Names, addresses and directories of the node."""

    directory: str  # pods/<uid> below it
    memory: str  # a directory in memory, for emptyDir with medium Memory
    name: str = "node-1"
    ip: str = "10.244.0.1"
    dns: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    pod_cidr: str = "10.244.0.0/24"
    allocatable: Mapping[str, Decimal] = {}
    shown: tuple[str, ...] = ()  # directories of this machine that every container sees where they are


class Launch(Struct, frozen=True):
    """A container that shall start."""

    pod: Pod
    container: Container
    image: Image
    command: Command
    stdio: Stdio
    sandbox: Sandbox
    scratch: str  # a directory of the pod that no container sees
    output: Output  # what is said on behalf of the container goes to its log


class Launcher(Protocol):
    """Starts containers: in their sandbox, or in the node process on their behalf."""

    async def __call__(self, launch: Launch) -> Process:
        """The running process. Raises OSError."""
        ...


class Lookup(Protocol):
    """The image catalogue."""

    def find(self, reference: str) -> Image | None:
        """The entry for an image reference; None: unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod gets of its node."""

    client: Client
    sandboxes: Sandboxes
    launch: Launcher
    images: Lookup
    events: Recorder
    sources: Sources
    services: Mirror
    options: Options
    now: Now
