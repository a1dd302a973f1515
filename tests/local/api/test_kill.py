"""SIGKILL of the API server under concurrent writers: what was acknowledged stays, watches resume."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from linnet.kube.client import Client
from linnet.kube.config import Config, from_kubeconfig
from linnet.kube.kinds import CONFIG_MAP
from linnet.local.api.store import Store

pytestmark = pytest.mark.wired

Json = dict[str, Any]

_NAMESPACE = "default"
_WRITERS = 8
_WRITES = 120  # acknowledged before the kill
_DEADLINE = 120.0  # seconds, for a machine that does much else


@asynccontextmanager
async def process(state: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Config]]:
    """A server in a process of its own; killed at the end unless it is dead already."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "linnet.local.api", "--state", str(state), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert running.stdout is not None
        async with asyncio.timeout(_DEADLINE):
            line = await running.stdout.readline()
        yield running, from_kubeconfig(line.decode().strip())
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may be dead already
            running.kill()
        await running.wait()


class Seen:
    """What a watcher saw: per object the values in order, and where it can go on."""

    def __init__(self, since: str) -> None:
        self.since = since
        self.values: dict[str, list[int]] = {}

    async def follow(self, client: Client, until: dict[str, int] | None = None) -> None:
        """Follow until the server is gone, or until the values of all objects have been seen."""
        async for event in client.watch(CONFIG_MAP, _NAMESPACE, since=self.since):
            metadata = event["object"]["metadata"]
            self.since = metadata["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            self.values.setdefault(metadata["name"], []).append(int(event["object"]["data"]["value"]))
            if until is not None and self.has(until):
                return

    def has(self, values: dict[str, int]) -> bool:
        """Whether these values were seen."""
        return all(self.last(name) >= value for name, value in values.items())

    def last(self, name: str) -> int:
        return self.values.get(name, [-1])[-1]


async def _write(client: Client, name: str, acknowledged: dict[str, int], count: asyncio.Semaphore) -> None:
    """Count up in one object until the server is gone."""
    obj: Json = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": _NAMESPACE},
        "data": {"value": "0"},
    }
    value = 0
    try:
        stored = await client.create(CONFIG_MAP, obj)
        while True:
            acknowledged[name] = value
            count.release()
            value += 1
            stored["data"] = {"value": str(value)}
            stored = await client.replace(CONFIG_MAP, stored)
    except OSError:
        return


async def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """After SIGKILL and a new start every acknowledged write is there, and a watch goes on without a gap."""
    acknowledged: dict[str, int] = {}
    count = asyncio.Semaphore(0)
    async with process(tmp_path) as (running, config), Client(config) as client:
        seen = Seen((await client.list(CONFIG_MAP, _NAMESPACE)).resource_version)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(_DEADLINE):
            following = tasks.create_task(_until_gone(seen, client))
            for at in range(_WRITERS):
                tasks.create_task(_write(client, f"writer-{at}", acknowledged, count))
            for _ in range(_WRITES):
                await count.acquire()
            os.kill(running.pid, signal.SIGKILL)
            await following
    assert len(acknowledged) == _WRITERS
    async with process(tmp_path) as (_, config), Client(config) as client:
        stored = await client.list(CONFIG_MAP, _NAMESPACE)
        values = {item["metadata"]["name"]: int(item["data"]["value"]) for item in stored.items}
        assert all(values[name] >= value for name, value in acknowledged.items())
        if not seen.has(values):
            async with asyncio.timeout(_DEADLINE):
                await seen.follow(client, until=values)
    for name, value in values.items():
        assert seen.values[name] == list(range(value + 1)), name


async def _until_gone(seen: Seen, client: Client) -> None:
    try:
        await seen.follow(client)
    except OSError:
        return


async def _counted(path: Path, values: int) -> list[int]:
    """A store with one object that was written so often; the length of its log after each write."""
    store = Store(path)
    store.start()
    log = path.with_name(path.name + "-wal")
    lengths, revision = [], None
    for value in range(values):
        revision = (await store.put("things|ns/a", {"metadata": {}, "value": value}, revision)).rev
        lengths.append(log.stat().st_size)
    copied = path.parent / "copied"
    copied.mkdir()
    for file in path.parent.glob(f"{path.name}*"):  # as a power failure leaves them: the log not folded in
        shutil.copy(file, copied / file.name)
    store.close()
    return lengths


@pytest.mark.parametrize("torn", [1, 100, 4_000])
async def test_a_torn_log_loses_only_the_write_that_it_was_torn_in(tmp_path: Path, torn: int) -> None:
    """Bytes that are missing at the end of the write-ahead log take back the last commit, nothing else."""
    lengths = await _counted(tmp_path / "cluster.db", 20)
    path = tmp_path / "copied" / "cluster.db"
    log = path.with_name(path.name + "-wal")
    os.truncate(log, lengths[-1] - torn)
    store = Store(path)
    record = store.get("things|ns/a")
    assert record is not None
    assert record.load()["value"] == 18
    assert [event.record.load()["value"] for event in store.since("things", 1)] == list(range(19))
    store.start()
    again = await store.put("things|ns/a", {"metadata": {}, "value": 19}, record.rev)
    assert again.rev > record.rev
    store.close()


async def test_rubbish_at_the_end_of_the_log_is_ignored(tmp_path: Path) -> None:
    """A commit of which only the beginning reached the disk is as if it had never been."""
    await _counted(tmp_path / "cluster.db", 20)
    path = tmp_path / "copied" / "cluster.db"
    with path.with_name(path.name + "-wal").open("ab") as log:
        log.write(os.urandom(3_000))
    store = Store(path)
    record = store.get("things|ns/a")
    assert record is not None
    assert record.load()["value"] == 19
    store.close()
