"""Mirrors of every kind that istiod reads, and one collection of what changed in any of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from linnet.control_plane.metrics import Metrics
from linnet.control_plane.settings import Settings
from linnet.control_plane.settle import Changes
from linnet.kube.client import Client, Object
from linnet.kube.errors import ApiError
from linnet.kube.kinds import (
    BUILTIN,
    CONFIG_MAP,
    ENDPOINT_SLICE,
    ISTIO,
    MUTATING_WEBHOOK,
    Kind,
)
from linnet.kube.mirror import Mirror, key_of

Change = tuple[str, str, str]
"""Name of the kind, namespace, name."""
RETRY = 5.0  # seconds until a kind that the API server does not serve (yet) is asked for again

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Watching:
    """What changed since it was last taken; the newest state of each object, None for what is gone."""

    client: Client
    settings: Settings
    kinds: tuple[str, ...]
    metrics: Metrics
    changes: Changes
    injector: asyncio.Event = field(default_factory=asyncio.Event)
    """The injection ConfigMap changed."""
    mirrors: dict[str, Mirror] = field(default_factory=dict)
    _pending: dict[Change, Object | None] = field(default_factory=dict)
    _absent: set[str] = field(default_factory=set)

    def take(self) -> Mapping[Change, Object | None]:
        """What changed since the last call."""
        taken, self._pending = self._pending, {}
        return taken

    def injector_config(self) -> Object | None:
        """The injection ConfigMap of our revision."""
        return self.mirrors["injector"].get((self.settings.namespace, self.settings.injector_config))

    async def run(self) -> None:
        """Keep all mirrors current, for ever."""
        known = {kind.name: kind for kind in (*BUILTIN, *ISTIO)}
        async with asyncio.TaskGroup() as tasks:
            for name in self.kinds:
                kind, where, fields = known[name], "", ""
                labels = "istio.io/rev" if kind is MUTATING_WEBHOOK else ""
                if kind is CONFIG_MAP:
                    where, fields = self.settings.namespace, f"metadata.name={self.settings.mesh_config}"
                noted = partial(self._note, kind)
                mirror = Mirror(self.client, kind, where, labels=labels, fields=fields, on_change=noted)
                self.mirrors[name] = mirror
                tasks.create_task(self._mirror(name, mirror), name=f"watch-{name}")
            mirror = Mirror(
                self.client,
                CONFIG_MAP,
                self.settings.namespace,
                fields=f"metadata.name={self.settings.injector_config}",
                on_change=lambda _old, _new: self.injector.set(),
            )
            self.mirrors["injector"] = mirror
            tasks.create_task(self._mirror("injector", mirror), name="watch-injector")

    async def wait_synced(self) -> None:
        """Return when every kind was listed once, or is known not to be served."""
        await asyncio.sleep(0)  # let `run` make the mirrors
        for name in (*self.kinds, "injector"):
            await self.mirrors[name].synced.wait()

    async def _mirror(self, name: str, mirror: Mirror) -> None:
        while True:
            try:
                await mirror.run()
            except ApiError as error:
                if error.code == 404:
                    # no CRD of this kind: there are no such objects until there is one
                    mirror.synced.set()
                if name not in self._absent:
                    log.warning("kind-not-readable", kind=name, error=error.message)
                    self._absent.add(name)
            await asyncio.sleep(RETRY)

    def _note(self, kind: Kind, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        self._pending[(kind.name, *key_of(obj))] = new
        event = "delete" if new is None else "add" if old is None else "update"
        self.metrics.events.add(kind.name, event)
        self.changes.note(urgent=kind is ENDPOINT_SLICE)
