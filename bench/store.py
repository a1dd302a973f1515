"""What the store takes: durable writes from one, ten and a hundred writers, and a start with 10,000 objects.

    python -m bench.store

Each writer waits for its write before it makes the next one; each write is a Pod of about 4 KB, on disk
(`synchronous=FULL`) before it is acknowledged. The directory is the one of temporary files.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from bench._pods import pod
from linnet.local.api.store import Store

WRITES = 6_000
OBJECTS = 10_000
BUCKET = "pods"


def _object(name: str) -> dict[str, Any]:
    """A Pod with what a server adds, about 4 KB as JSON."""
    return {**pod(name, "default"), "status": {"phase": "Running", "message": "x" * 600}}


async def _write(store: Store, writer: int, count: int) -> None:
    """Create an object, then change it again and again."""
    obj = _object(f"pod-{writer}")
    key = f"{BUCKET}|default/pod-{writer}"
    found = store.latest(key)
    revision = found.rev if found else None
    for _ in range(count):
        revision = (await store.put(key, obj, revision)).rev


async def throughput(writers: int) -> None:
    """The rate of so many writers."""
    with tempfile.TemporaryDirectory(prefix="bench-store-") as directory:
        store = Store(Path(directory, "cluster.db"))
        store.start()
        wall, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as tasks:
            for writer in range(writers):
                tasks.create_task(_write(store, writer, WRITES // writers))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        commits = store.commits
        store.close()
    size = len(orjson.dumps(_object("pod-0")))
    print(
        f"{writers} writers: {WRITES / wall:,.0f} durable writes/s, {1e6 * cpu / WRITES:.0f} us CPU each, "
        f"{WRITES / commits:.1f} writes a commit ({size} bytes each)",
        flush=True,
    )


async def start() -> None:
    """What it costs to open a file of many objects."""
    with tempfile.TemporaryDirectory(prefix="bench-store-") as directory:
        path = Path(directory, "cluster.db")
        store = Store(path)
        store.start()
        async with asyncio.TaskGroup() as tasks:
            for at in range(OBJECTS):
                name = f"pod-{at}"
                tasks.create_task(store.put(f"{BUCKET}|default/{name}", _object(name), None))
        store.close()
        begun = time.process_time()
        again = Store(path)
        print(
            f"start with {len(again.records(BUCKET)):,}: {time.process_time() - begun:.2f} s CPU", flush=True
        )
        again.close()


async def _all() -> None:
    for writers in (1, 10, 100):
        await throughput(writers)
    await start()


if __name__ == "__main__":
    asyncio.run(_all())
