"""The roots in every namespace: written where they are missing or differ, and nowhere else."""

import asyncio

import pytest

from linnet.ca.roots import KEY, NAME, Distributor, config_map, lacking
from linnet.kube.client import Listing
from linnet.kube.errors import AlreadyExists, Conflict, NotFound
from linnet.kube.kinds import CONFIG_MAP, NAMESPACE

pytestmark = pytest.mark.unit


def namespace(name: str, **meta: str) -> dict:
    return {"metadata": {"name": name, **meta}}


def test_who_lacks_the_roots():
    """Missing, different or empty; never those that are ending or that Istio leaves out."""
    names = [namespace(n) for n in ("fresh", "good", "old", "empty", "kube-public", "kube-system")]
    names.append(namespace("ending", deletionTimestamp="2026-01-01T00:00:00Z"))
    maps = {(n, NAME): config_map(n, roots) for n, roots in (("good", "R2"), ("old", "R1"))}
    maps["empty", NAME] = {"metadata": {"name": NAME, "namespace": "empty"}}
    assert lacking(names, maps, "R2") == ["empty", "fresh", "kube-system", "old"]


class Cluster:
    """A scripted list and watch of namespaces and ConfigMaps, with versions and conflicts."""

    def __init__(self, *names: str) -> None:
        self.version = 0
        self.objects = {NAMESPACE: {}, CONFIG_MAP: {}}
        self.events = {NAMESPACE: asyncio.Queue(), CONFIG_MAP: asyncio.Queue()}
        self.writes = 0
        self.written = asyncio.Event()
        self.failures: list[OSError] = []
        for name in names:
            self.put(NAMESPACE, namespace(name))

    def put(self, kind, obj) -> dict:
        self.version += 1
        stored = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.version)}}
        meta = stored["metadata"]
        self.objects[kind][meta.get("namespace", ""), meta["name"]] = stored
        self.events[kind].put_nowait({"type": "MODIFIED", "object": stored})
        return stored

    async def list(self, kind, namespace="", *, labels="", fields=""):
        self.events[kind] = asyncio.Queue()
        return Listing(list(self.objects[kind].values()), str(self.version))

    async def watch(self, kind, namespace="", *, since, labels="", fields="", seconds=0):
        while True:
            yield await self.events[kind].get()

    async def create(self, kind, obj):
        return self._write(kind, obj, exists=False)

    async def replace(self, kind, obj):
        return self._write(kind, obj, exists=True)

    def _write(self, kind, obj, *, exists):
        if self.failures:
            raise self.failures.pop(0)
        key = obj["metadata"]["namespace"], obj["metadata"]["name"]
        held = self.objects[kind].get(key)
        if held and not exists:
            raise AlreadyExists(409, "AlreadyExists", key[0])
        if exists and held["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", key[0])
        if ("", key[0]) not in self.objects[NAMESPACE]:
            raise NotFound(404, "NotFound", key[0])
        self.writes += 1
        self.written.set()
        return self.put(kind, obj)

    def roots(self) -> dict[str, str]:
        return {key[0]: obj["data"][KEY] for key, obj in self.objects[CONFIG_MAP].items()}

    async def until(self, wanted: dict[str, str]) -> None:
        async with asyncio.timeout(5):
            while self.roots() != wanted:
                self.written.clear()
                await self.written.wait()


async def test_every_namespace_gets_the_roots_and_keeps_them():
    """At once, for a new one, when somebody spoils one, when the roots change; no write without a reason."""
    cluster, roots = Cluster("a", "b"), ["R1"]
    distributor = Distributor(cluster, lambda: roots[0])
    work = asyncio.get_running_loop().create_task(distributor.run())
    await cluster.until({"a": "R1", "b": "R1"})

    cluster.put(NAMESPACE, namespace("c"))
    await cluster.until({"a": "R1", "b": "R1", "c": "R1"})

    spoiled = cluster.objects[CONFIG_MAP]["b", NAME]
    cluster.put(CONFIG_MAP, spoiled | {"data": {KEY: "forged", "mine": "kept"}})
    await cluster.until({"a": "R1", "b": "R1", "c": "R1"})
    assert cluster.objects[CONFIG_MAP]["b", NAME]["data"]["mine"] == "kept"

    cluster.failures.append(ConnectionError("the API server is away"))
    roots[0] = "R2"
    distributor.wake()
    await cluster.until({"a": "R2", "b": "R2", "c": "R2"})

    assert cluster.writes == 7
    distributor.wake()
    cluster.put(NAMESPACE, namespace("d"))  # when this one has its roots, the others were looked at
    await cluster.until(dict.fromkeys("abcd", "R2"))
    assert cluster.writes == 8
    work.cancel()
