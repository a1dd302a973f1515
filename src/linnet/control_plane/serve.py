"""istiod: one task group of mirrors, pushes, the CA and the servers. Read top to bottom: the program."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial

import structlog

from linnet.control_plane import locks, status
from linnet.control_plane.callers import Callers
from linnet.control_plane.certificates import authority_of
from linnet.control_plane.gauges import add_gauges
from linnet.control_plane.istiod import Istiod
from linnet.control_plane.plane import Plane
from linnet.control_plane.ports import open_ports
from linnet.control_plane.proxies import Proxies
from linnet.control_plane.pushing import ask_back, follow_injector, let_go, push
from linnet.control_plane.settle import Changes
from linnet.control_plane.signing import Signing
from linnet.control_plane.system_roots import system_roots
from linnet.control_plane.watching import Watching
from linnet.control_plane.webhooks import Injection
from linnet.ingest import mesh
from linnet.model.snapshot import MeshConfig

log = structlog.get_logger(__name__)


async def serve(istiod: Istiod) -> None:
    """Run until `istiod.stopping` is set; the failure of one part stops all parts."""
    settings, client, metrics = istiod.settings, istiod.client, istiod.metrics
    changes = Changes(asyncio.get_running_loop().time)
    usual = MeshConfig(domain=settings.domain, root_namespace=settings.namespace, system_roots=system_roots())
    plane = Plane(
        mesh.empty(mesh.Options(settings.namespace, settings.mesh_config, settings.revision, usual)),
        metrics,
    )
    watching = Watching(client, settings, mesh.KINDS, metrics, changes)
    callers = Callers(client, settings.plaintext, lambda: plane.mesh.snapshot.config)
    proxies = Proxies(
        plane, callers.of_stream, metrics, lambda: istiod.synced and not istiod.stopping.is_set()
    )
    injection = Injection(settings.revision, settings.namespace)
    everybodys, ours = (
        status.StatusWriter(client, partial(plane.known, named=named), lambda: datetime.now(UTC))
        for named in (False, True)
    )
    lead = partial(locks.lead, client, settings, lambda: plane.mesh.revisions.default)

    async with asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(watching.run(), name="watch")]
        await watching.wait_synced()
        plane.advance(watching.take())
        injection.update(watching.injector_config(), plane.mesh_text())
        istiod.synced = True
        signing = Signing(istiod, await authority_of(istiod, plane.mesh.snapshot.config.trust_domain))
        add_gauges(istiod, proxies)

        async with AsyncExitStack() as servers:
            await open_ports(istiod, servers, proxies, callers, signing.authority, plane, injection)
            work = {
                "push": push(settings, plane, watching, proxies, (everybodys.wake, ours.wake)),
                "injection": follow_injector(watching, injection, plane),
                **signing.tasks(),
                "roots": lead(locks.ROOTS, signing.distributor.run),
                "status": lead(locks.STATUS, everybodys.run),
                "own-status": lead(locks.own_status(settings), ours.run),
            }
            if settings.connection_age:
                work["connection-age"] = ask_back(proxies, settings.connection_age)
            background += (tasks.create_task(one, name=name) for name, one in work.items())
            istiod.serving_now.set()
            log.info("ready", revision=settings.revision, seconds=round(time.time() - istiod.started, 2))
            await istiod.stopping.wait()
            log.info("stopping", proxies=len(proxies.seats))
            await let_go(proxies, settings.shutdown)
        for task in background:
            task.cancel()
