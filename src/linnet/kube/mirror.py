"""A followed kind as a dictionary: one task writes, everybody else reads."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing

from linnet.kube.client import Client, Object
from linnet.kube.kinds import Kind
from linnet.kube.watch import Applied, Deleted, Listed, follow

Key = tuple[str, str]  # namespace, name


def key_of(obj: Object) -> Key:
    """`(namespace, name)` of an object."""
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _version(obj: Object) -> int:
    # ordered integers. Source: Kubernetes 1.35, KEP-5504, comparable resource versions
    return int(obj["metadata"]["resourceVersion"])


class Mirror(Mapping[Key, Object]):
    """The objects of one kind, kept current by `run`. Objects are shared: never change one in place.

    `on_change(old, new)` is called for each change, with None for what did not or does not exist;
    it must not block.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        on_change: Callable[[Object | None, Object | None], None] | None = None,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self._client, self._namespace, self._labels, self._fields = client, namespace, labels, fields
        self._on_change = on_change
        self._objects: dict[Key, Object] = {}
        self._seen = 0  # the newest resourceVersion that the watch brought

    def __getitem__(self, key: Key) -> Object:
        return self._objects[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    async def run(self) -> None:
        """Keep the mirror current, for ever."""
        events = follow(self._client, self.kind, self._namespace, labels=self._labels, fields=self._fields)
        async with aclosing(events):
            async for event in events:
                match event:
                    case Listed(items=items, resource_version=version):
                        self._seen = int(version)
                        self._replace({key_of(obj): obj for obj in items})
                        self.synced.set()
                    case Applied(object=obj):
                        self._seen = int(obj["metadata"]["resourceVersion"])
                        self._put(key_of(obj), obj)
                    case Deleted(object=obj):
                        self._seen = int(obj["metadata"]["resourceVersion"])
                        self._remove(key_of(obj))

    def remember(self, obj: Object) -> None:
        """Take the answer to an own write as known, before the watch brings it; older news is ignored."""
        if int(obj["metadata"]["resourceVersion"]) > self._seen:
            self._put(key_of(obj), obj)

    def _replace(self, objects: dict[Key, Object]) -> None:
        for key in [key for key in self._objects if key not in objects]:
            self._remove(key)
        for key, obj in objects.items():
            self._put(key, obj)

    def _put(self, key: Key, obj: Object) -> None:
        old = self._objects.get(key)
        if (
            old is not None
            and _version(old) >= _version(obj)
            and old["metadata"]["uid"] == obj["metadata"]["uid"]
        ):
            return  # the same, or older than an own write that `remember` brought
        self._objects[key] = obj
        if self._on_change:
            self._on_change(old, obj)

    def _remove(self, key: Key) -> None:
        old = self._objects.pop(key, None)
        if old is not None and self._on_change:
            self._on_change(old, None)
