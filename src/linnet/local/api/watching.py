"""Watches: the events of one bucket, seen through a namespace and selectors."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from linnet.local.api.records import Change, Event, Record
from linnet.local.api.store import Store

Json = dict[str, Any]
Selects = Callable[[Json], bool]

_BACKLOG = 10_000


class Seen(Struct, frozen=True):
    """An event as this watch shows it; `obj` is None when the object is exactly the event's record."""

    change: Change
    event: Event
    obj: Json | None

    def load(self) -> Json:
        """The object that the watch shows."""
        return self.event.record.load() if self.obj is None else self.obj


class Watch:
    """Follow a bucket from `since` on; use it as a context manager.

    Raises: Expired (on entry) when the history after `since` is gone.
    """

    def __init__(
        self, store: Store, bucket: str, namespace: str, selects: Selects | None, since: int
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = f"{bucket}|{namespace}/" if namespace else ""
        self._selects = selects
        self._since = since
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._stop: Callable[[], None] | None = None
        self.overrun = False  # the client is too slow; end the watch, it lists again

    def __enter__(self) -> Self:
        for event in self._store.since(self._bucket, self._since):
            self._receive(event)
        self._stop = self._store.follow(self._bucket, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None:
            self._stop()

    async def wait(self, seconds: float) -> bool:
        """Whether something arrived within that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        """End a wait, although nothing may have arrived."""
        self._arrived.set()

    def take(self) -> list[Seen]:
        """What arrived and is selected."""
        self._arrived.clear()
        events, self._events = self._events, deque()
        return [seen for event in events if (seen := self._seen(event)) is not None]

    def _receive(self, event: Event) -> None:
        if event.rev <= self._since:
            return
        if self._prefix and not event.record.key.startswith(self._prefix):
            return
        if len(self._events) >= _BACKLOG:
            self.overrun = True
        else:
            self._events.append(event)
        self._arrived.set()

    def _seen(self, event: Event) -> Seen | None:
        """An object that leaves the selection is deleted for this watch, one that enters is added."""
        if self._selects is None:
            return Seen(event.change, event, None)
        before = event.before.load() if event.before else None
        was_selected = before is not None and self._selects(before)
        if event.change != "DELETED" and self._selects(obj := event.record.load()):
            return Seen("MODIFIED" if was_selected else "ADDED", event, obj)
        if not was_selected or before is None:
            return None
        before["metadata"]["resourceVersion"] = str(event.rev)
        return Seen("DELETED", event, before)


def current(store: Store, bucket: str, namespace: str, selects: Selects | None) -> list[tuple[Record, Json]]:
    """The selected objects of now."""
    loaded = ((record, record.load()) for record in store.records(bucket, namespace))
    return [(record, obj) for record, obj in loaded if selects is None or selects(obj)]
