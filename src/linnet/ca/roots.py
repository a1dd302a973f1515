"""The roots in every namespace: ConfigMap `istio-ca-root-cert`, written by one istiod, only where it differs.

Run it under the lease `LEASE`, which all revisions share (law L2: one writer at a time; no change, no write).
Source: Istio, namespace controller.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from linnet.kube.client import Client, Object
from linnet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from linnet.kube.kinds import CONFIG_MAP, NAMESPACE
from linnet.kube.mirror import Mirror

NAME = "istio-ca-root-cert"
KEY = "root-cert.pem"
LEASE = "istio-namespace-controller-election"
WITHOUT = frozenset({"kube-public", "kube-node-lease", "local-path-storage"})
RETRY = 1.0  # seconds

log = structlog.get_logger(__name__)


def lacking(
    namespaces: Iterable[Object], config_maps: Mapping[tuple[str, str], Object], roots: str
) -> list[str]:
    """The namespaces whose ConfigMap is missing or holds other roots, by name (pure)."""
    return sorted(
        name
        for namespace in namespaces
        if (name := namespace["metadata"]["name"]) not in WITHOUT
        and not namespace["metadata"].get("deletionTimestamp")
        and (config_maps.get((name, NAME), {}).get("data") or {}).get(KEY) != roots
    )


def config_map(namespace: str, roots: str) -> Object:
    """The object as Istio's controller writes it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"istio.io/config": "true"}},
        "data": {KEY: roots},
    }


class Distributor:
    """Writes the roots wherever they are missing; `wake` it when the roots changed."""

    def __init__(self, client: Client, roots: Callable[[], str]) -> None:
        self._client, self._roots = client, roots
        self._dirty = asyncio.Event()

    def wake(self) -> None:
        """Look again: the roots may have changed."""
        self._dirty.set()

    def _changed(self, _old: Object | None, _new: Object | None) -> None:
        self._dirty.set()

    async def run(self) -> None:
        """Write what is lacking, for ever."""
        namespaces = Mirror(self._client, NAMESPACE, on_change=self._changed)
        maps = Mirror(self._client, CONFIG_MAP, fields=f"metadata.name={NAME}", on_change=self._changed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(namespaces.run(), name="roots-namespaces")
            tasks.create_task(maps.run(), name="roots-config-maps")
            await namespaces.synced.wait()
            await maps.synced.wait()
            self._dirty.set()
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                roots = self._roots()
                for namespace in lacking(namespaces.values(), maps, roots):
                    await self._write(tasks, namespace, maps.get((namespace, NAME)), roots)

    async def _write(
        self, tasks: asyncio.TaskGroup, namespace: str, held: Mapping[str, Any] | None, roots: str
    ) -> None:
        wanted = config_map(namespace, roots)
        try:
            if held is None:
                await self._client.create(CONFIG_MAP, wanted)
            else:
                merged = {**held, "data": {**(held.get("data") or {}), KEY: roots}}
                await self._client.replace(CONFIG_MAP, merged)
        except (AlreadyExists, NotFound, Conflict):
            return  # somebody was quicker: the mirror will tell, and wake us
        except OSError as error:
            if isinstance(error, ApiError) and error.code == 403 and "terminated" in error.message:
                return  # the namespace is going away
            log.warning("roots-not-written", namespace=namespace, error=str(error))
            tasks.create_task(self._again(), name="roots-retry")

    async def _again(self) -> None:
        await asyncio.sleep(RETRY)
        self._dirty.set()
