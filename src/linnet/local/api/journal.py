"""The store's SQLite file: current objects, and the log of changes that watches resume from."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from linnet.local.api.records import Change, Event, Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object(
  key TEXT PRIMARY KEY, rev INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event(
  rev INTEGER PRIMARY KEY, key TEXT NOT NULL, deleted INTEGER NOT NULL, at REAL NOT NULL,
  value BLOB NOT NULL, prev_rev INTEGER, prev BLOB);
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_KEEP_SECONDS = 300.0
_KEEP_AT_LEAST = 1_000


class StoreFailed(OSError):
    """The disk refused; nothing is acknowledged any more."""


class Content(Struct, frozen=True):
    """What a file holds: objects in order of their keys, events in order, both with shared records."""

    compacted: int  # history up to this revision is gone
    revision: int
    objects: tuple[Record, ...]
    events: tuple[Event, ...]


def locked(path: Path) -> int:
    """The descriptor of a lock on the file: two processes would each believe their own memory.

    Raises: StoreFailed when another process has it.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreFailed(f"{path} is in use by another process") from error
    return lock


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open the file, or make it; `synchronous` is SQLite's: FULL is durable."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    os.chmod(path, 0o600)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={synchronous}")
    return db


def read(db: sqlite3.Connection) -> Content:
    """Everything that is in the file."""
    db.executescript(_SCHEMA)
    meta = dict(db.execute("SELECT name, value FROM meta"))
    compacted = int(meta.get("compacted", 0))
    newest = db.execute("SELECT coalesce(max(rev), 0) FROM event").fetchone()[0]
    objects = {
        key: Record(key, rev, value)
        for key, rev, value in db.execute("SELECT key, rev, value FROM object ORDER BY key")
    }
    return Content(
        compacted=compacted,
        revision=max(int(meta.get("revision", 1)), newest),
        objects=tuple(objects.values()),
        events=tuple(_events(db, compacted, objects)),
    )


def _events(db: sqlite3.Connection, after: int, objects: dict[str, Record]) -> Iterator[Event]:
    known: dict[str, Record] = {}
    rows = db.execute(
        "SELECT rev, key, deleted, at, value, prev_rev, prev FROM event WHERE rev > ? ORDER BY rev", (after,)
    )
    for rev, key, deleted, at, value, prev_rev, prev in rows:
        current = objects.get(key)
        record = current if current is not None and current.rev == rev else Record(key, rev, value)
        before = known.get(key)
        if prev_rev is not None and (before is None or before.rev != prev_rev):
            before = Record(key, prev_rev, prev)
        change: Change = "DELETED" if deleted else "MODIFIED" if prev_rev is not None else "ADDED"
        yield Event(rev, change, record, before if prev_rev is not None else None, at)
        known[key] = record


def commit(db: sqlite3.Connection, events: Sequence[Event]) -> None:
    """Write changes in one transaction; they are durable when it returns."""
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


def compact(db: sqlite3.Connection, window: int, compacted: int) -> int:
    """Forget history beyond the window, and beyond five minutes if a thousand younger changes stay.

    Returns the revision up to which it is gone.
    """
    newest = db.execute("SELECT max(rev) FROM event").fetchone()[0]
    old = db.execute("SELECT max(rev) FROM event WHERE at < ?", (time.time() - _KEEP_SECONDS,)).fetchone()[0]
    floor: int = max(newest - window, min(old or 0, newest - _KEEP_AT_LEAST))
    if floor <= compacted:
        return compacted
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM event WHERE rev <= ?", (floor,))
    db.execute("INSERT OR REPLACE INTO meta VALUES('compacted', ?), ('revision', ?)", (floor, newest))
    db.execute("COMMIT")
    return floor


def close(db: sqlite3.Connection, revision: int) -> None:
    """Remember the newest revision and fold the log into the file."""
    db.execute("INSERT OR REPLACE INTO meta VALUES('revision', ?)", (revision,))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
