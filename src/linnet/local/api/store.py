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
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson
from msgspec import Struct

Change = Literal["ADDED", "MODIFIED", "DELETED"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object(
  key TEXT PRIMARY KEY, rev INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event(
  rev INTEGER PRIMARY KEY, key TEXT NOT NULL, deleted INTEGER NOT NULL, at REAL NOT NULL,
  value BLOB NOT NULL, prev_rev INTEGER, prev BLOB);
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_BATCH = 512
_KEEP_SECONDS = 300.0
_KEEP_AT_LEAST = 1_000


class Record(Struct, frozen=True):
    """An object as it was stored: JSON with its resourceVersion inside."""

    key: str
    rev: int
    raw: bytes

    def load(self) -> dict[str, Any]:
        """A private copy that the caller may change."""
        loaded: dict[str, Any] = orjson.loads(self.raw)
        return loaded


class Event(Struct, frozen=True):
    """One change; `record` of a deletion is the last state with the deletion's revision."""

    rev: int
    change: Change
    record: Record
    before: Record | None
    at: float  # seconds since the epoch


class Expired(Exception):
    """The history before this revision is gone."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"compacted up to {compacted}")
        self.compacted = compacted


class Stale(Exception):
    """Somebody else wrote the object first."""


class StoreFailed(OSError):
    """The disk refused; nothing is acknowledged any more."""


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


def bucket_of(key: str) -> str:
    return key[: key.index("|")]


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
        self._lock = self._take_lock()
        try:
            with contextlib.closing(self._connect()) as db:
                self._load(db)
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

    # The file

    def _take_lock(self) -> int:
        """Two processes on one file would each believe their own memory."""
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise StoreFailed(f"{self._path} is in use by another process") from error
        return lock

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        os.chmod(self._path, 0o600)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={self._synchronous}")
        return db

    def _load(self, db: sqlite3.Connection) -> None:
        db.executescript(_SCHEMA)
        meta = dict(db.execute("SELECT name, value FROM meta"))
        self._compacted = int(meta.get("compacted", 0))
        newest = db.execute("SELECT coalesce(max(rev), 0) FROM event").fetchone()[0]
        self._published = self._assigned = max(int(meta.get("revision", 1)), newest)
        for key, rev, value in db.execute("SELECT key, rev, value FROM object ORDER BY key"):
            self._buckets.setdefault(bucket_of(key), _Bucket()).set(Record(key, rev, value))
        known: dict[str, Record] = {}
        rows = db.execute(
            "SELECT rev, key, deleted, at, value, prev_rev, prev FROM event WHERE rev > ? ORDER BY rev",
            (self._compacted,),
        )
        for rev, key, deleted, at, value, prev_rev, prev in rows:
            current = self.get(key)
            record = current if current is not None and current.rev == rev else Record(key, rev, value)
            before = known.get(key)
            if prev_rev is not None and (before is None or before.rev != prev_rev):
                before = Record(key, prev_rev, prev)
            change: Change = "DELETED" if deleted else "MODIFIED" if prev_rev is not None else "ADDED"
            self._log.append(Event(rev, change, record, before if prev_rev is not None else None, at))
            known[key] = record

    def _write_all(self) -> None:
        """The writer thread: batches until it is told to end."""
        assert self._loop is not None
        batch: list[_Write] = []
        try:
            with contextlib.closing(self._connect()) as db:
                since_trim = 0
                ending = False
                while not ending:
                    batch, ending = self._next_batch()
                    if batch:
                        self._commit(db, [write.event for write in batch])
                        self._tell(self._publish, batch)
                        since_trim += len(batch)
                    if since_trim > self._window // 4:
                        since_trim = 0
                        self._compact(db)
                db.execute("INSERT OR REPLACE INTO meta VALUES('revision', ?)", (self._assigned,))
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
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

    def _commit(self, db: sqlite3.Connection, events: list[Event]) -> None:
        final = {event.record.key: event for event in events}
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO event VALUES(?,?,?,?,?,?,?)",
            [
                (
                    event.rev,
                    event.record.key,
                    event.change == "DELETED",
                    event.at,
                    event.record.raw,
                    event.before.rev if event.before else None,
                    event.before.raw if event.before else None,
                )
                for event in events
            ],
        )
        db.executemany(
            "INSERT OR REPLACE INTO object VALUES(?,?,?)",
            [(e.record.key, e.rev, e.record.raw) for e in final.values() if e.change != "DELETED"],
        )
        db.executemany(
            "DELETE FROM object WHERE key=?",
            [(e.record.key,) for e in final.values() if e.change == "DELETED"],
        )
        db.execute("COMMIT")
        self.commits += 1

    def _compact(self, db: sqlite3.Connection) -> None:
        """Forget history beyond the window, and beyond five minutes if a thousand younger changes stay."""
        newest = db.execute("SELECT max(rev) FROM event").fetchone()[0]
        old = db.execute(
            "SELECT max(rev) FROM event WHERE at < ?", (time.time() - _KEEP_SECONDS,)
        ).fetchone()[0]
        floor = max(newest - self._window, min(old or 0, newest - _KEEP_AT_LEAST))
        if floor <= self._compacted:
            return
        db.execute("BEGIN IMMEDIATE")
        db.execute("DELETE FROM event WHERE rev <= ?", (floor,))
        db.execute("INSERT OR REPLACE INTO meta VALUES('compacted', ?), ('revision', ?)", (floor, newest))
        db.execute("COMMIT")
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._trim, floor)
