"""Clean clusters for scenarios: our own, started anew each time, or a given one that is tidied up."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tools.transcripts.standin import play

from linnet.kube.config import from_kubeconfig

_START = 30.0  # seconds
_CLUSTER_KINDS = (
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "namespaces",
    "customresourcedefinitions",
    "clusterrolebindings",
    "clusterroles",
    "priorityclasses",
    "ingressclasses",
    "persistentvolumes",
)
_DEFAULT_KINDS = "deployments,replicasets,services,pods,configmaps,secrets,serviceaccounts,jobs,cronjobs"


class NoCluster(RuntimeError):
    """The cluster for a scenario did not come up."""


@asynccontextmanager
async def own() -> AsyncIterator[Path]:
    """The kubeconfig of a new cluster that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="transcript-cluster-") as directory:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tools.transcripts.cluster", directory, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(_START):
                line = await process.stdout.readline()
            if not line:
                raise NoCluster(f"the cluster ended with code {await process.wait()}")
            yield Path(line.decode().strip())
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()


class Given:
    """A cluster that exists already. What is there now stays; `tidy` removes everything else."""

    def __init__(self, kubectl: str, kubeconfig: Path) -> None:
        self._kubectl = kubectl
        self._kubeconfig = kubeconfig
        self._before: dict[str, set[str]] = {}

    async def remember(self) -> None:
        """Take what is there as the clean state."""
        self._before = await self._names()

    async def tidy(self) -> None:
        """Delete what came since, webhooks first."""
        for kind, names in (await self._names()).items():
            extra = sorted(names - self._before.get(kind, set()))
            if extra:
                namespace = ("-n", "default") if "/" in extra[0] else ()
                targets = extra if namespace else [f"{kind}/{name}" for name in extra]
                await self._call("delete", *namespace, *targets, "--ignore-not-found", "--timeout=60s")

    async def _names(self) -> dict[str, set[str]]:
        found = {}
        for kind in _CLUSTER_KINDS:
            text = await self._call("get", kind, "-o", "jsonpath={.items[*].metadata.name}")
            found[kind] = set(text.split())
        found["default"] = set(
            (await self._call("get", _DEFAULT_KINDS, "-n", "default", "-o", "name")).split()
        )
        return found

    async def _call(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            self._kubectl,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
        )
        stdout, _ = await process.communicate()
        return stdout.decode()


@asynccontextmanager
async def stand_in(kubeconfig: Path, *, wanted: bool) -> AsyncIterator[None]:
    """The node of the recordings, played for a given cluster if that is wanted."""
    if not wanted:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(play(from_kubeconfig(str(kubeconfig))))
        try:
            yield
        finally:
            playing.cancel()
