"""The objects of the cluster: in memory for readers, in one SQLite file before a writer is told.

    put, delete ─▶ pending ─▶ writer thread: one transaction a batch ─▶ publish: readers, log, followers

Keys are `<group>/<plural>|<namespace>/<name>` (`<group>/<plural>|<name>` without a namespace);
the part before `|` is the bucket.
One counter numbers every change; it is the resourceVersion of what the change left behind.
Readers see only what is durable; writers decide on `latest`, which includes what is still on its way to disk.
"""

import asyncio
import bisect
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from linnet.local.api import journal
from linnet.local.api.journal import StoreFailed
from linnet.local.api.records import Change, Event, Record, bucket_of

_BATCH = 512


class Expired(Exception):
    """The history before this revision is gone."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"compacted up to {compacted}")
        self.compacted = compacted


class Stale(Exception):
    """Somebody else wrote the object first."""


class _Write(Struct, frozen=True):
    event: Event
    done: "asyncio.Future[Record]"


@dataclass(slots=True)
class _Bucket:
    """The published objects of one resource, in order of their keys."""

    records: dict[str, Record] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def set(self, record: Record) -> None:
        if record.key not in self.records:
            bisect.insort(self.keys, record.key)
        self.records[record.key] = record

    def drop(self, key: str) -> None:
        if self.records.pop(key, None) is not None:
            del self.keys[bisect.bisect_left(self.keys, key)]

    def under(self, prefix: str) -> Iterator[Record]:
        for at in range(bisect.bisect_left(self.keys, prefix), len(self.keys)):
            key = self.keys[at]
            if not key.startswith(prefix):
                return
            yield self.records[key]


class Store:
    """Open the file at `path`, or make it; used from one event loop; `start` before the first write.

    Raises: StoreFailed if another process has it open or the disk refuses.
    """

    def __init__(self, path: Path, *, window: int = 10_000, synchronous: str = "FULL") -> None:
        self._path = path
        self._window = window
        self._synchronous = synchronous
        self._buckets: dict[str, _Bucket] = {}
        self._pending: dict[str, Record | None] = {}
        self._log: deque[Event] = deque()
        self._followers: dict[str, list[Callable[[Event], None]]] = {}
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="store", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: StoreFailed | None = None
        self.failed: asyncio.Event = asyncio.Event()
        self.commits = 0
        self._compacted = 0
        self._published = self._assigned = 1
        self._lock = journal.locked(path)
        try:
            with contextlib.closing(journal.connect(path, synchronous)) as db:
                self._load(journal.read(db))
        except sqlite3.Error as error:
            os.close(self._lock)
            raise StoreFailed(f"{path}: {error}") from error

    # Reading: what is durable

    @property
    def revision(self) -> int:
        """The newest published revision."""
        return self._published

    @property
    def compacted(self) -> int:
        """Watches can resume from this revision on."""
        return self._compacted

    def get(self, key: str) -> Record | None:
        bucket = self._buckets.get(bucket_of(key))
        return bucket.records.get(key) if bucket else None

    def records(self, bucket: str, namespace: str = "") -> list[Record]:
        """The records of a bucket, or of one namespace of it, in order of their keys."""
        found = self._buckets.get(bucket)
        if found is None:
            return []
        if not namespace:
            return [found.records[key] for key in found.keys]
        return [*found.under(f"{bucket}|{namespace}/")]

    def records_at(self, bucket: str, namespace: str, revision: int) -> list[Record]:
        """The same as it was at `revision`.

        Raises: Expired when that history is gone.
        """
        if revision < self._compacted:
            raise Expired(self._compacted)
        prefix = f"{bucket}|{namespace}/" if namespace else f"{bucket}|"
        state = {record.key: record for record in self.records(bucket, namespace)}
        for event in reversed(self._log):
            if event.rev <= revision:
                break
            key = event.record.key
            if key.startswith(prefix):
                if event.before is None:
                    state.pop(key, None)
                else:
                    state[key] = event.before
        return [state[key] for key in sorted(state)]

    def since(self, bucket: str, revision: int) -> list[Event]:
        """The events of a bucket after `revision`.

        Raises: Expired when they are gone.
        """
        if revision < self._compacted:
            raise Expired(self._compacted)
        found = []
        for event in reversed(self._log):
            if event.rev <= revision:
                break
            if bucket_of(event.record.key) == bucket:
                found.append(event)
        found.reverse()
        return found

    def follow(self, bucket: str, receive: Callable[[Event], None]) -> Callable[[], None]:
        """Call `receive` with every further event of the bucket, in order; the result ends that."""
        followers = self._followers.setdefault(bucket, [])
        followers.append(receive)
        return lambda: followers.remove(receive)

    # Writing

    def latest(self, key: str) -> Record | None:
        """The object as the next write will find it, durable or not yet."""
        return self._pending[key] if key in self._pending else self.get(key)

    def latest_keys(self, bucket: str, namespace: str = "") -> list[str]:
        """The keys as the next write will find them."""
        prefix = f"{bucket}|{namespace}/" if namespace else f"{bucket}|"
        keys = {record.key for record in self.records(bucket, namespace)}
        for key, record in self._pending.items():
            if key.startswith(prefix):
                (keys.discard if record is None else keys.add)(key)
        return sorted(keys)

    async def put(self, key: str, obj: dict[str, Any], expect: int | None) -> Record:
        """Store `obj` (its resourceVersion is set); returns once it is durable and published.

        `expect` is the revision that it replaces, None a new object.

        Raises: Stale if the object is at another revision; StoreFailed.
        """
        before = self.latest(key)
        if (before.rev if before else None) != expect:
            raise Stale(key)
        self._assigned += 1
        obj["metadata"]["resourceVersion"] = str(self._assigned)
        record = Record(key, self._assigned, orjson.dumps(obj))
        change: Change = "ADDED" if before is None else "MODIFIED"
        return await self._submit(Event(record.rev, change, record, before, time.time()), record)

    async def delete(self, key: str, expect: int) -> Record:
        """Remove the object; returns its last state, with the revision of the deletion.

        Raises: Stale if it is gone or at another revision; StoreFailed.
        """
        before = self.latest(key)
        if before is None or before.rev != expect:
            raise Stale(key)
        self._assigned += 1
        obj = before.load()
        obj["metadata"]["resourceVersion"] = str(self._assigned)
        record = Record(key, self._assigned, orjson.dumps(obj))
        return await self._submit(Event(record.rev, "DELETED", record, before, time.time()), None)

    def check(self) -> None:
        """Raise StoreFailed if the disk has refused."""
        if self._failure is not None:
            raise self._failure

    def start(self) -> None:
        """Begin to write; call it inside the event loop that all callers use."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """Write what was submitted, fold the log into the file and leave it."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        os.close(self._lock)

    async def _submit(self, event: Event, record: Record | None) -> Record:
        self.check()
        assert self._loop is not None, "the store was not started"
        done: asyncio.Future[Record] = self._loop.create_future()
        self._pending[event.record.key] = record
        self._queue.put(_Write(event, done))
        # A caller that goes away does not take its write back.
        return await asyncio.shield(done)

    def _publish(self, batch: Iterable[_Write]) -> None:
        for write in batch:
            event = write.event
            key = event.record.key
            bucket = self._buckets.setdefault(bucket_of(key), _Bucket())
            if event.change == "DELETED":
                bucket.drop(key)
            else:
                bucket.set(event.record)
            if key in self._pending and self._is_last(event, self._pending[key]):
                del self._pending[key]
            self._log.append(event)
            self._published = event.rev
            for receive in tuple(self._followers.get(bucket_of(key), ())):
                receive(event)
            if not write.done.done():
                write.done.set_result(event.record)

    @staticmethod
    def _is_last(event: Event, pending: Record | None) -> bool:
        return event.change == "DELETED" if pending is None else pending.rev == event.rev

    def _fail(self, failure: StoreFailed, batch: Iterable[_Write]) -> None:
        self._failure = failure
        self.failed.set()
        for write in batch:
            if not write.done.done():
                write.done.set_exception(failure)

    def _trim(self, floor: int) -> None:
        self._compacted = max(self._compacted, floor)
        while self._log and self._log[0].rev <= floor:
            self._log.popleft()

    def _load(self, content: journal.Content) -> None:
        self._compacted = content.compacted
        self._published = self._assigned = content.revision
        for record in content.objects:
            self._buckets.setdefault(bucket_of(record.key), _Bucket()).set(record)
        self._log.extend(content.events)

    def _write_all(self) -> None:
        """The writer thread: batches until it is told to end."""
        assert self._loop is not None
        batch: list[_Write] = []
        try:
            with contextlib.closing(journal.connect(self._path, self._synchronous)) as db:
                since_trim = 0
                ending = False
                while not ending:
                    batch, ending = self._next_batch()
                    if batch:
                        journal.commit(db, [write.event for write in batch])
                        self.commits += 1
                        self._tell(self._publish, batch)
                        since_trim += len(batch)
                    if since_trim > self._window // 4:
                        since_trim = 0
                        self._compact(db)
                journal.close(db, self._assigned)
        except sqlite3.Error as error:
            failure = StoreFailed(f"{self._path}: {error}")
            self._tell(lambda lost: self._fail(failure, lost), batch)
            self._refuse_all(failure)

    def _refuse_all(self, failure: StoreFailed) -> None:
        """After a failure: answer every writer that still comes, until the end."""
        while (write := self._queue.get()) is not None:
            self._tell(lambda lost: self._fail(failure, lost), [write])

    def _tell(self, call: Callable[[list[_Write]], None], batch: list[_Write]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(call, batch)

    def _next_batch(self) -> tuple[list[_Write], bool]:
        batch: list[_Write] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= _BATCH or self._queue.empty():
                return batch, False
            item = self._queue.get()
        return batch, True

    def _compact(self, db: sqlite3.Connection) -> None:
        floor = journal.compact(db, self._window, self._compacted)
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._trim, floor)
