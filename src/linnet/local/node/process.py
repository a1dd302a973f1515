"""The node process, wired: pods, pod network, services, cluster DNS, load balancers, kubelet."""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain

from linnet.kube.client import Client
from linnet.kube.kinds import NODE
from linnet.kube.watch import Applied, Listed, follow
from linnet.local import ask, credentials, logging
from linnet.local.envoys import envoys
from linnet.local.inheritance import Inheritance
from linnet.local.linnets import linnets
from linnet.local.node import images
from linnet.local.node.dns import Dns, host_resolvers
from linnet.local.node.forker import Forker
from linnet.local.node.images import Catalogue, Reread
from linnet.local.node.loadbalancer import LoadBalancers
from linnet.local.node.network import Network
from linnet.local.node.sandboxes import LocalSandboxes
from linnet.local.node.serve import Files, serve
from linnet.local.node.service_table import Table
from linnet.local.node.services import ServiceRules
from linnet.local.node.zone import Zone
from linnet.local.settings import Settings


async def serve_node(inheritance: Inheritance, forker: Forker, *, ready: Callable[[], None]) -> None:
    """Be the node until cancelled. Raises what ends one of its parts."""
    settings = inheritance.settings
    logging.configure(verbose=settings.verbose)
    port = inheritance.api.getsockname()[1]
    network = Network(inheritance.namespace)
    zone = Zone()
    rules = ServiceRules(inheritance.namespace)
    config = credentials.config(settings.paths, port, "network")
    async with Client(config, user_agent="linnet-network", manager="linnet-network") as client:
        balancers = LoadBalancers(client, network.dial)
        table = Table(client, (rules.update, zone.update, balancers.update))
        dns = Dns(inheritance.namespace, zone, host_resolvers())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch_forker(forker), name="forker")
            tasks.create_task(table.run(), name="services")
            tasks.create_task(dns.serve(), name="dns")
            tasks.create_task(balancers.run(), name="load balancers")
            tasks.create_task(
                serve(
                    credentials.config(settings.paths, port, "kubelet"),
                    LocalSandboxes(forker, network),
                    inheritance.kubelet,
                    files=_files(settings),
                    images=Reread(partial(catalogue, settings)),
                    dial=network.dial,
                ),
                name="kubelet",
            )
            tasks.create_task(_announce(client, table, ready), name="announce")


def catalogue(settings: Settings) -> Catalogue:
    """The user's images, then those of this Linnet, then of others. Raises images.CatalogueError."""
    paths = settings.paths
    own: tuple[images.Image, ...] = ()
    if os.path.exists(paths.catalogue):
        with open(paths.catalogue, encoding="utf-8") as file:
            own = images.decode(file.read(), paths.catalogue)
        images.check_files(own, (paths.state, paths.run), paths.catalogue)
    binaries = envoys(paths)
    ours = images.builtin(
        version=settings.version, python=sys.executable, path=_path(sys.executable), envoys=binaries
    )
    others = (
        images.other(version=version, python=python, path=_path(python), envoys=binaries)
        for version, python in linnets(paths).items()
    )
    return Catalogue((*own, *ours, *chain.from_iterable(others)))


def _path(python: str) -> str:
    """The PATH of containers that have this Python's programs."""
    return f"{os.path.dirname(python)}:{images.PATH}"


def _files(settings: Settings) -> Files:
    paths = settings.paths
    return Files(
        pods=f"{paths.node}/pods",
        memory=paths.memory,
        certificate=f"{paths.pki}/kubelet-serving.crt",
        key=f"{paths.pki}/kubelet-serving.key",
        client_ca=f"{paths.pki}/ca.crt",
        shown=(*settings.environment, paths.images),
    )


async def _watch_forker(forker: Forker) -> None:
    """Raise when the forker has ended: all pods ended with it, and no new one can be made."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(forker.pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(forker.pidfd)
    raise ChildProcessError("the forker has ended, and with it all pods")


async def _announce(client: Client, table: Table, ready: Callable[[], None]) -> None:
    """Say once that pods can run: the node is Ready and the services are known."""
    await table.synced.wait()
    async for event in follow(client, NODE, fields=f"metadata.name={credentials.NODE}"):
        match event:
            case Listed(items=nodes):
                now = any(ask.is_ready(node) for node in nodes)
            case Applied(object=node):
                now = ask.is_ready(node)
            case _:
                now = False
        if now:
            ready()
            return
