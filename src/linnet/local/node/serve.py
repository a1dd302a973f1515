"""The kubelet as a part of the node process: client, pods, registration, server, wired together."""

import asyncio
import os
import socket
from importlib.metadata import version

from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.kinds import SERVICE
from linnet.kube.mirror import Mirror
from linnet.local.node.clock import wall
from linnet.local.node.events import Recorder
from linnet.local.node.hosted import Dial, Hosting
from linnet.local.node.images import Reread
from linnet.local.node.kubelet import Kubelet
from linnet.local.node.machine import Registration, this_machine
from linnet.local.node.runtime import Sandboxes
from linnet.local.node.server import Server, serving, tls_context
from linnet.local.node.sources import Sources
from linnet.local.node.surroundings import Options, Surroundings

PRIVATE = ("/tmp/", "/run/", "/var/")  # noqa: S108 (where a container has file systems of its own)


class Files(Struct, frozen=True):
    """Files and directories that the kubelet uses."""

    pods: str  # a directory for the pods' volumes and logs
    memory: str  # a directory in memory
    certificate: str  # of the kubelet's server
    key: str
    client_ca: str
    shown: tuple[str, ...] = ()  # directories that containers must see: Linnet's own environment


async def serve(
    config: Config,
    sandboxes: Sandboxes,
    listener: socket.socket,
    *,
    files: Files,
    images: Reread,
    dial: Dial,
) -> None:
    """Run the pods of this node for ever. `listener` is the socket of the kubelet's port.

    `dial` connects from the node's own network.

    Raises:
        ApiError: the API server refuses the credentials.
    """
    for directory in (files.pods, files.memory):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    release = version("linnet")
    machine = this_machine(files.pods)
    shown = tuple(path for path in files.shown if path.startswith(PRIVATE))
    options = Options(directory=files.pods, memory=files.memory, allocatable=machine.capacity, shown=shown)
    async with Client(config, user_agent=f"kubelet/{release}", manager="kubelet") as client:
        services = Mirror(client, SERVICE)
        hosting = Hosting(services, dial, release)
        events, sources = Recorder(client, options.name, wall), Sources(client)
        around = Surroundings(
            client, sandboxes, hosting.launch, images, events, sources, services, options, wall
        )
        kubelet = Kubelet(around)
        names = [image.name for image in images.catalogue.images]
        registration = Registration(client, machine, options, names, wall, release)
        tls = tls_context(files.certificate, files.key, files.client_ca)
        async with serving(Server(kubelet, wall).application(), listener, tls), asyncio.TaskGroup() as tasks:
            for part in (events, sources, services, hosting, registration, kubelet):
                tasks.create_task(part.run())
