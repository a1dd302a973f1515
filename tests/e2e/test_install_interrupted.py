"""An installation that is killed after any write leaves a cluster that works; the same command goes on."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bench._wire import Request, Wire, wire
from tests.e2e.asking import injector, stored, virtual_service
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until

from linnet.install.lock import NAME as LOCK
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import LEASE, SERVICE_ACCOUNT, VALIDATING_WEBHOOK, VIRTUAL_SERVICE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), NEEDS_ROOT]
SPACE = "shop"


@pytest.fixture(scope="module")
def local() -> Iterator[Cluster]:
    """A cluster with a namespace that wants to be injected."""
    with cluster() as made:
        made.linnet("kubectl", "create", "namespace", SPACE)
        made.linnet("kubectl", "label", "namespace", SPACE, "istio-injection=enabled")
        yield made


class Zygote:
    """Runs of `linnet` that can be killed, each in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process, self._folder = process, folder
        self.pid = 0

    async def run(self, config: str, *args: str) -> tuple[int, str]:
        """Exit code (negative: the signal) and output."""
        output = self._folder / f"output-{id(self)}"
        order = {"args": args, "env": {"KUBECONFIG": config}, "output": str(output)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self.pid = int(await self._process.stdout.readline())
        code = int(await self._process.stdout.readline())
        return code, output.read_text() if output.exists() else ""

    def kill(self) -> None:
        """SIGKILL to the run."""
        os.kill(self.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def zygote(folder: Path) -> AsyncIterator[Zygote]:
    """A process that forks for each run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench._zygote", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    try:
        yield Zygote(process, folder)
    finally:
        process.stdin.close()
        await process.wait()


class Dies:
    """Kills a run after its first write that has not been the last of an earlier run."""

    def __init__(self) -> None:
        self.run: Zygote | None = None
        self.died_at: list[str] = []
        self.spared = False

    def __call__(self, request: Request) -> None:
        """Called when a write has been answered by the server, before the client hears of it."""
        what = f"{request.method} {request.path}"
        definitions = "/customresourcedefinitions/" in request.path
        if self.spared or what in self.died_at or (definitions and "customres" in "".join(self.died_at)):
            return  # the definitions are many and alike: one death among them
        self.died_at.append(what)
        assert self.run is not None
        self.run.kill()


async def pods_and_config(client: Client) -> tuple[str, str]:
    """Who would inject a pod in the namespace, and what is said to a good Istio object; refusals raise."""
    revision = await injector(client, SPACE)
    for namespace in ("default", "istio-system"):
        if await stored(client, SERVICE_ACCOUNT, "default", namespace):
            await injector(client, namespace)
    try:
        await client.create(VIRTUAL_SERVICE, virtual_service(SPACE, "shop"), dry_run=True)
    except NotFound:
        return revision, "not defined"
    return revision, "accepted"


@pytest.mark.parametrize(
    ("args", "injectors", "default"),
    [
        pytest.param((), {"", "default"}, "default", id="first"),
        pytest.param(("--set", "revision=canary"), {"default"}, "default", id="second"),
    ],
)
async def test_killed_after_every_write(
    local: Cluster, tmp_path: Path, args: tuple[str, ...], injectors: set[str], default: str
) -> None:
    """Each run dies after one more write; in between pods are created and configuration accepted."""
    dies = Dies()
    command = ("install", "-y", *args)
    async with (
        Client(from_kubeconfig(local.kubeconfig)) as client,
        zygote(tmp_path) as run,
        wire(local.kubeconfig, after=dies) as line,
    ):
        await until(lambda: stored(client, SERVICE_ACCOUNT, "default", SPACE))
        dies.run = run
        config = line.kubeconfig(tmp_path / "config")
        while True:
            code, output = await run.run(config, *command)
            revision, _ = await pods_and_config(client)
            assert revision in injectors, dies.died_at[-1:]
            if code != -signal.SIGKILL:
                break
        assert code == 0, output
        assert output.splitlines()[-1].startswith(
            ("Made this installation the default", "Revision default stays", "✔ Installation complete")
        )
        assert any("leases" in what for what in dies.died_at)  # died while it held the lock, too
        assert len(dies.died_at) > 20
        assert await pods_and_config(client) == (default, "accepted")
        await whole(client, run, line, tmp_path, command)


async def whole(client: Client, run: Zygote, line: Wire, folder: Path, command: tuple[str, ...]) -> None:
    """Nothing is left to do, nothing is held; a further run writes nothing at all."""
    with pytest.raises(NotFound):
        await client.get(LEASE, LOCK, "istio-system")
    for hook in (await client.list(VALIDATING_WEBHOOK)).items:
        assert [entry["failurePolicy"] for entry in hook["webhooks"]] == ["Fail"], hook["metadata"]["name"]
    config = line.kubeconfig(folder / "config")
    code, plan = await run.run(config, *command, "--dry-run", "-o", "json")
    assert code == 0
    assert {change["outcome"] for change in json.loads(plan)["changes"]} == {"unchanged"}
    line.log.clear()
    code, output = await run.run(config, *command)
    assert (code, [request for request in line.log if request.writes]) == (0, []), output


async def test_two_at_once(local: Cluster, tmp_path: Path) -> None:
    """The second waits and says for whom; their writes do not mix, and no object is written twice."""
    log: list[Request] = []
    started = asyncio.Event()

    def begins(request: Request) -> None:
        if not request.locks:
            started.set()

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    minimal = ("install", "-y", "--set", "profile=minimal", "--set")
    async with (
        zygote(tmp_path / "a") as first,
        zygote(tmp_path / "b") as second,
        wire(local.kubeconfig, name="a", log=log, after=begins) as one,
        wire(local.kubeconfig, name="b", log=log) as two,
        asyncio.timeout(300),
        asyncio.TaskGroup() as tasks,
    ):
        a = tasks.create_task(first.run(one.kubeconfig(tmp_path / "1"), *minimal, "revision=a"))
        await started.wait()
        b = tasks.create_task(second.run(two.kubeconfig(tmp_path / "2"), *minimal, "revision=b"))
    assert (a.result()[0], b.result()[0]) == (0, 0), a.result()[1] + b.result()[1]
    assert "Waiting for install of revision a by " in b.result()[1]
    writes = [request for request in log if request.writes and not request.locks]
    assert "".join(dict.fromkeys(request.client for request in writes)) == "ab"
    order = [request.client for request in writes]
    assert order == sorted(order)
    paths = [request.path for request in writes if "/linnet-history" not in request.path]
    assert len(paths) == len(set(paths))


async def test_h14_the_old_validator(local: Cluster) -> None:
    """H14: a validator of an old Istio, whose Service is gone, refuses everything; install removes it."""
    async with Client(from_kubeconfig(local.kubeconfig)) as client:
        hook = {
            "apiVersion": VALIDATING_WEBHOOK.api_version,
            "kind": VALIDATING_WEBHOOK.name,
            "metadata": {"name": "istiod-istio-system"},
            "webhooks": [
                {
                    "name": "validation.istio.io",
                    "clientConfig": {
                        "service": {"name": "istio-galley", "namespace": "istio-system", "path": "/validate"}
                    },
                    "rules": [
                        {
                            "operations": ["CREATE"],
                            "apiGroups": ["networking.istio.io"],
                            "apiVersions": ["*"],
                            "resources": ["*"],
                        }
                    ],
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                }
            ],
        }
        await client.create(VALIDATING_WEBHOOK, hook)
        with pytest.raises(ApiError, match="istio-galley"):
            await pods_and_config(client)
        said = local.linnet("install", "-y", "--set", "revision=canary")
        assert "removed the old validator istiod-istio-system: its Service is gone" in said
        assert (await pods_and_config(client))[1] == "accepted"
