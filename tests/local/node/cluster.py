"""A local cluster for tests: brought up once a module, in directories of its own."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import NotFound
from linnet.kube.kinds import NAMESPACE, POD, Kind
from linnet.kube.watch import Applied, Deleted, Listed, follow

Object = dict[str, Any]
LINNET = Path(sys.executable).parent / "linnet"


class LocalCluster(Struct, frozen=True):
    """How to reach it."""

    directory: str
    kubeconfig: str

    @property
    def environment(self) -> dict[str, str]:
        """For programs that shall use it."""
        return dict(
            os.environ,
            XDG_STATE_HOME=f"{self.directory}/s",
            XDG_RUNTIME_DIR=f"{self.directory}/r",
            KUBECONFIG=self.kubeconfig,
        )

    def linnet(self, *words: str) -> str:
        """Run a command of linnet; its output."""
        done = subprocess.run(
            [str(LINNET), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kubectl(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl; skips the test where there is none."""
        program = shutil.which("kubectl")
        if program is None:
            pytest.skip("needs kubectl on PATH: see https://kubernetes.io/docs/tasks/tools/")
        return subprocess.run(
            [program, *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def client(self) -> Client:
        """A client of the administrator."""
        return Client(from_kubeconfig(self.kubeconfig))


def local_cluster(*, images: str = "") -> Iterator[LocalCluster]:
    """Up, and down again with all that it made."""
    if os.geteuid() != 0:
        pytest.skip("needs root: pods are processes in namespaces")
    directory = tempfile.mkdtemp(prefix="lk", dir="/tmp")
    cluster = LocalCluster(directory, f"{directory}/kubeconfig")
    try:
        words = ["local", "up"]
        if images:
            Path(directory, "images.yaml").write_text(images, encoding="utf-8")
            words += ["--images", f"{directory}/images.yaml"]
        cluster.linnet(*words)
        found = cluster.linnet("local", "env").partition("KUBECONFIG=")[2].splitlines()[0].strip("'\"")
        os.symlink(found, cluster.kubeconfig)
        yield cluster
        cluster.linnet("local", "down")
    finally:
        subprocess.run(
            [str(LINNET), "local", "down"], env=cluster.environment, check=False, capture_output=True
        )
        shutil.rmtree(directory)


async def until(
    client: Client,
    kind: Kind,
    name: str,
    namespace: str,
    holds: Callable[[Object], bool],
    *,
    seconds: float = 20,
) -> Object:
    """The object, once it is as wanted. Raises AssertionError with what it was when time is up."""
    last: Object = {}
    try:
        async with (
            asyncio.timeout(seconds),
            aclosing(follow(client, kind, namespace, fields=f"metadata.name={name}")) as events,
        ):
            async for event in events:
                match event:
                    case Listed(items=items):
                        found = items
                    case Applied(object=obj):
                        found = [obj]
                    case Deleted():
                        found = []
                for obj in found:
                    last = obj
                    if holds(obj):
                        return obj
    except TimeoutError:
        pass
    raise AssertionError(f"{kind.name} {namespace}/{name} is not as wanted, but {last.get('status', last)}")


async def until_gone(client: Client, name: str, namespace: str, *, seconds: float = 20) -> None:
    """Return when a pod is gone."""
    async with (
        asyncio.timeout(seconds),
        aclosing(follow(client, POD, namespace, fields=f"metadata.name={name}")) as events,
    ):
        async for event in events:
            if isinstance(event, Deleted) or (isinstance(event, Listed) and not event.items):
                return


async def fresh_namespace(client: Client, name: str) -> str:
    """A namespace in which pods can be made."""
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    async with asyncio.timeout(10):
        while True:
            try:
                await client.raw("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")
                return name
            except NotFound:
                await asyncio.sleep(0.02)
