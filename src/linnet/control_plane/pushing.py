"""The loops of istiod that bring changes to proxies, and let proxies go."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from linnet.control_plane.plane import Plane
from linnet.control_plane.proxies import Proxies
from linnet.control_plane.settings import Settings
from linnet.control_plane.watching import Watching
from linnet.control_plane.webhooks import Injection

log = structlog.get_logger(__name__)


async def push(
    settings: Settings, plane: Plane, watching: Watching, proxies: Proxies, wake: Sequence[Callable[[], None]]
) -> None:
    """Changes, a pause, the next mesh, offers, streams; then wake who looks at the mesh; for ever."""
    metrics = watching.metrics
    while True:
        first = await watching.changes.settle(
            quiet=settings.debounce_quiet,
            urgent_quiet=settings.endpoints_quiet,
            limit=settings.debounce_limit,
        )
        metrics.debounce.observe(proxies.clock() - first)
        taken = watching.take()
        for kind in {kind for kind, _, _ in taken}:
            metrics.triggers.add("endpoint" if kind == "EndpointSlice" else kind.lower())
        plane.advance(taken)
        told = proxies.push(first)
        plane.end_push()
        for look in wake:
            look()
        log.debug("push", changes=len(taken), proxies=told, compared=proxies.work.compared)


async def follow_injector(watching: Watching, injection: Injection, plane: Plane) -> None:
    """Take over the injection ConfigMap whenever it changes, for ever."""
    while True:
        await watching.injector.wait()
        watching.injector.clear()
        injection.update(watching.injector_config(), plane.mesh_text())


async def ask_back(proxies: Proxies, age: float) -> None:
    """Let proxies come back now and then, so that load spreads over replicas; never many at once."""
    while True:
        await asyncio.sleep(1)
        old = proxies.now() - age
        due = [c for c in proxies.seats if c.connected_at < old]
        for connection in sorted(due, key=lambda c: c.connected_at)[: 1 + len(proxies.seats) // 60]:
            connection.end()


async def let_go(proxies: Proxies, seconds: float) -> None:
    """End all streams, one after another, within half of `seconds`."""
    pause = min(0.05, seconds / 2 / max(1, len(proxies.seats)))
    for connection in tuple(proxies.seats):
        connection.end()
        await asyncio.sleep(pause)
