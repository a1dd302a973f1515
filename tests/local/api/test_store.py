"""The store: one counter, durable before it answers, history that can be resumed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.local.api.journal import StoreFailed
from linnet.local.api.records import Event
from linnet.local.api.store import Expired, Stale, Store

pytestmark = pytest.mark.unit


def thing(name: str, **more: str) -> dict[str, object]:
    return {"kind": "Thing", "metadata": {"name": name}, **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cluster.db"


async def test_read_your_writes(path: Path) -> None:
    """What put returns is what the next reader sees, with the revision as its resourceVersion."""
    store = Store(path)
    store.start()
    record = await store.put("things|ns/a", thing("a"), None)
    assert store.get("things|ns/a") == record
    assert record.load()["metadata"]["resourceVersion"] == str(record.rev) == str(store.revision)
    store.close()


async def test_the_second_writer_of_a_revision_loses(path: Path) -> None:
    """Two writers that saw the same revision: one wins, the other is told, durable or not."""
    store = Store(path)
    store.start()
    first = await store.put("things|ns/a", thing("a"), None)
    results = await asyncio.wait_for(_both(store, first.rev), 5)
    assert sorted(type(result).__name__ for result in results) == ["Record", "Stale"]
    with pytest.raises(Stale):
        await store.put("things|ns/a", thing("a"), None)
    store.close()


async def _both(store: Store, rev: int) -> list[object]:
    async def write(value: str) -> object:
        try:
            return await store.put("things|ns/a", thing("a", value=value), rev)
        except Stale as error:
            return error

    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(write(value)) for value in ("x", "y")]
    return [task.result() for task in made]


async def test_concurrent_writers_share_a_commit(path: Path) -> None:
    """Many writers at once take far fewer transactions than writes."""
    store = Store(path)
    store.start()
    async with asyncio.TaskGroup() as tasks:
        for at in range(500):
            tasks.create_task(store.put(f"things|ns/{at}", thing(str(at)), None))
    assert store.commits < 100
    assert len(store.records("things", "ns")) == 500
    store.close()


async def test_followers_hear_of_changes_in_order(path: Path) -> None:
    """A follower hears created, changed, deleted, each with what was before."""
    store = Store(path)
    store.start()
    heard: list[Event] = []
    stop = store.follow("things", heard.append)
    made = await store.put("things|ns/a", thing("a"), None)
    changed = await store.put("things|ns/a", thing("a", value="x"), made.rev)
    await store.put("others|ns/a", thing("a"), None)
    await store.delete("things|ns/a", changed.rev)
    stop()
    await store.put("things|ns/b", thing("b"), None)
    assert [event.change for event in heard] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event.before for event in heard] == [None, made, changed]
    store.close()


async def test_a_restart_keeps_objects_history_and_counter(path: Path) -> None:
    """A reopened store has the same objects, resumes old watches and never gives a revision twice."""
    store = Store(path)
    store.start()
    made = await store.put("things|ns/a", thing("a"), None)
    await store.put("things|ns/b", thing("b"), None)
    gone = await store.delete("things|ns/a", made.rev)
    store.close()

    again = Store(path)
    again.start()
    assert [record.key for record in again.records("things")] == ["things|ns/b"]
    assert [event.change for event in again.since("things", made.rev)] == ["ADDED", "DELETED"]
    assert [record.key for record in again.records_at("things", "ns", gone.rev - 1)] == [
        "things|ns/a",
        "things|ns/b",
    ]
    assert (await again.put("things|ns/c", thing("c"), None)).rev > gone.rev
    again.close()


async def test_old_history_is_forgotten(path: Path) -> None:
    """Beyond its window the store forgets changes, says so, and keeps the objects."""
    store = Store(path, window=40)
    store.start()
    first = await store.put("things|ns/a", thing("a"), None)
    rev = first.rev
    for value in range(200):
        rev = (await store.put("things|ns/a", thing("a", value=str(value)), rev)).rev
    assert await _forgotten(store)
    with pytest.raises(Expired):
        store.since("things", first.rev)
    with pytest.raises(Expired):
        store.records_at("things", "", first.rev)
    assert store.since("others", store.revision - 1)[-1].rev == store.revision
    store.close()


async def _forgotten(store: Store) -> bool:
    """Write until the store has compacted."""
    for at in range(1_000):
        await store.put(f"others|{at}", thing(str(at)), None)
        if store.compacted:
            return True
    return False


def test_one_file_has_one_owner(path: Path) -> None:
    """A second store on the same file is refused."""
    store = Store(path)
    with pytest.raises(StoreFailed, match="in use"):
        Store(path)
    store.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from linnet.local.api.store import Store
async def write(store, name):
    rev = None
    for value in range(100000):
        record = await store.put(f"things|ns/{name}", {"metadata": {}, "value": value}, rev)
        rev = record.rev
        print(name, value, flush=True)
async def main():
    store = Store(Path(sys.argv[1]))
    store.start()
    async with asyncio.TaskGroup() as tasks:
        for name in range(8):
            tasks.create_task(write(store, name))
asyncio.run(main())
"""


def test_nothing_acknowledged_is_lost_by_a_kill(path: Path) -> None:
    """After SIGKILL every write that was answered is there."""
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged: dict[str, int] = {}
    for count, line in enumerate(process.stdout):
        name, value = line.split()
        acknowledged[name] = int(value)
        if count == 400:
            os.kill(process.pid, signal.SIGKILL)
            break
    for line in process.stdout:
        if line.endswith("\n"):
            name, value = line.split()
            acknowledged[name] = int(value)
    process.wait()
    process.stdout.close()
    store = Store(path)
    for name, value in acknowledged.items():
        record = store.get(f"things|ns/{name}")
        assert record is not None
        assert record.load()["value"] >= value
    store.close()
