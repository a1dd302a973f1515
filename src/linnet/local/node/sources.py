"""ConfigMaps and Secrets that pods use: each is watched once, as long as a pod holds it.

Source: Kubernetes, kubelet configMapAndSecretChangeDetectionStrategy Watch.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from linnet.kube.client import Client
from linnet.kube.kinds import Kind
from linnet.kube.watch import Applied, Deleted, Listed, follow
from linnet.local.node.spec import Object

Key = tuple[Kind, str, str]  # kind, namespace, name


class Source:
    """One object: `value` is its state (None: it does not exist), `known` says whether that is settled."""

    def __init__(self) -> None:
        self.value: Object | None = None
        self.known = asyncio.Event()
        self.holders: list[asyncio.Event] = []  # each is set when the object changed

    def put(self, value: Object | None) -> None:
        """Take a new state and tell the holders."""
        changed = not self.known.is_set() or value != self.value
        self.value = value
        self.known.set()
        if changed:
            for holder in self.holders:
                holder.set()


class Sources:
    """The watched objects. `run` must be running."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._held: dict[Key, Source] = {}
        self._wanted: asyncio.Queue[Key] = asyncio.Queue()
        self._followers: dict[Key, asyncio.Task[None]] = {}

    @contextmanager
    def hold(self, keys: frozenset[Key], changed: asyncio.Event) -> Iterator[dict[Key, Source]]:
        """Watch objects inside the block; `changed` is set when one of them changes."""
        for key in keys:
            if key not in self._held:
                self._held[key] = Source()
                self._wanted.put_nowait(key)
            self._held[key].holders.append(changed)
        try:
            yield {key: self._held[key] for key in keys}
        finally:
            for key in keys:
                self._release(key, changed)

    def _release(self, key: Key, changed: asyncio.Event) -> None:
        source = self._held[key]
        source.holders.remove(changed)
        if not source.holders:
            del self._held[key]
            follower = self._followers.pop(key, None)
            if follower:
                follower.cancel()

    async def run(self) -> None:
        """Follow what is held, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                key = await self._wanted.get()
                if key in self._held and key not in self._followers:
                    self._followers[key] = tasks.create_task(self._follow(key, self._held[key]))

    async def _follow(self, key: Key, source: Source) -> None:
        kind, namespace, name = key
        events: AsyncGenerator[Listed | Applied | Deleted, None] = follow(
            self._client, kind, namespace, fields=f"metadata.name={name}"
        )
        async with aclosing(events):
            async for event in events:
                match event:
                    case Listed(items=items):
                        source.put(items[0] if items else None)
                    case Applied(object=obj):
                        source.put(obj)
                    case Deleted():
                        source.put(None)
