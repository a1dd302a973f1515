"""An API server and istiods beside it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from linnet.admit.webhook import review
from linnet.control_plane.istiod import Istiod
from linnet.control_plane.serve import serve
from linnet.control_plane.settings import Address, Settings
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.kinds import CONFIG_MAP, NAMESPACE, SERVICE_ACCOUNT

ANY = Address(0, "127.0.0.1")
VALUES = '{"global": {"hub": "linnet", "tag": "1", "proxy": {}}}'
INJECTOR = "policy: enabled\ndefaultTemplates: [sidecar]\ntemplates: {sidecar: 'spec: {}'}\n"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of an API server of its own, with namespaces istio-system and shop."""
    command = (sys.executable, "-m", "linnet.local.api", "--state", str(tmp_path / "api"))
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        async with asyncio.timeout(100):
            kubeconfig = (await server.stdout.readline()).decode().strip()
        async with Client(from_kubeconfig(kubeconfig)) as client:
            for name in ("istio-system", "shop"):
                await client.create(NAMESPACE, {"metadata": {"name": name}})
            for name in ("web", "admin"):
                await client.create(SERVICE_ACCOUNT, {"metadata": {"name": name, "namespace": "shop"}})
            yield client
    finally:
        server.terminate()
        await server.wait()


Start = Callable[..., AbstractAsyncContextManager[Istiod]]


@asynccontextmanager
async def _running(client: Client, revision: str = "canary", **more: object) -> AsyncIterator[Istiod]:
    settings = Settings(
        revision=revision,
        pod=f"istiod-{revision}",
        version="1.2.3",
        http=ANY,
        https=ANY,
        grpc=ANY,
        secure_grpc=ANY,
        monitoring=ANY,
        controls=ANY,
        shutdown=0.2,
        **more,
    )
    for name, data in (
        (settings.mesh_config, {"mesh": "trustDomain: cluster.local\n"}),
        (settings.injector_config, {"config": INJECTOR, "values": VALUES}),
    ):
        await client.create(
            CONFIG_MAP, {"metadata": {"name": name, "namespace": "istio-system"}, "data": data}
        )
    istiod = Istiod(settings, client, review)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve(istiod))
        waiting = tasks.create_task(istiod.serving_now.wait())
        async with asyncio.timeout(100):
            await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        try:
            yield istiod
        finally:
            istiod.stopping.set()


@pytest.fixture
def start(client: Client) -> Start:
    """Run an istiod beside the API server: `async with start("canary") as istiod`."""
    return partial(_running, client)
