"""Parts of a running mesh are killed: traffic flows on, nothing acknowledged is lost, nothing is left."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, Cluster, cluster, until

from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import ApiError
from linnet.kube.kinds import CONFIG_MAP

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_ROOT, NEEDS_KUBECTL]
HOMES = {"1-0-0": "stays", "canary": "moved"}  # revision -> the namespace that it serves
APPS = ("frontend", "backend-v1", "backend-v2", "caller")


class Mesh:
    """Two revisions; the example in a namespace of the first, and without load in one of the second."""

    def __init__(self, made: Cluster) -> None:
        self.cluster = made
        self.state = Path(made.variables["XDG_STATE_HOME"]) / "linnet" / "local"

    def rolled_out(self) -> None:
        for name in APPS:
            self.cluster.kubectl("rollout", "status", "-n", "stays", f"deployment/{name}", "--timeout=120s")
        self.cluster.kubectl("rollout", "status", "-n", "moved", "deployment/frontend", "--timeout=120s")
        for revision in HOMES:
            self.cluster.kubectl(
                "rollout", "status", "-n", "istio-system", f"deployment/istiod-{revision}", "--timeout=120s"
            )

    def pod(self, namespace: str, labels: str) -> dict[str, Any]:
        """A pod with these labels that is not about to go."""
        found = json.loads(self.cluster.kubectl("get", "pods", "-n", namespace, "-l", labels, "-o", "json"))[
            "items"
        ]
        staying: list[dict[str, Any]] = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return staying[0]

    def end_load(self) -> tuple[int, int]:
        """Requests and failures of the caller, by its own report; another one takes its place."""
        name = self.pod("stays", "app=caller")["metadata"]["name"]
        self.cluster.kubectl("delete", "pod", "-n", "stays", name, "--wait=false")
        log = self.cluster.kubectl("logs", "-n", "stays", name, "-c", "load", "--follow")
        total = re.search(r": (\d+) requests in \d+ s, (\d+) failed", log)
        assert total, log
        self.rolled_out()
        return int(total[1]), int(total[2])

    def process(self, pod: str, word: str) -> int:
        """The process of a pod whose command line has a word."""
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                hostname = Path(f"/proc/{name}/root/etc/hostname").read_text().strip()
                command = Path(f"/proc/{name}/cmdline").read_text().split("\0")
            except OSError:
                continue
            if hostname == pod and any(word in part for part in command):
                return int(name)
        raise AssertionError(f"{pod} has no process {word}")

    async def restarted(self, before: dict[str, Any]) -> None:
        """Wait until a container of the pod has been started again and all are ready."""
        seen = restarts(before)
        meta = before["metadata"]
        words = ("get", "pod", "-n", meta["namespace"], meta["name"], "-o", "json")

        async def again() -> bool:
            text = await asyncio.to_thread(lambda: self.cluster.call("kubectl", *words).stdout)
            if not text:
                return False
            pod = json.loads(text)
            ready = all(status["ready"] for status in pod["status"]["containerStatuses"])
            return restarts(pod) > seen and ready

        await until(again)

    def clusters_of(self, pod: dict[str, Any]) -> str:
        name = f"{pod['metadata']['name']}.{pod['metadata']['namespace']}"
        return self.cluster.attempt("proxy-config", "clusters", name).stdout


def restarts(pod: dict[str, Any]) -> int:
    return sum(int(status["restartCount"]) for status in pod["status"]["containerStatuses"])


def traces() -> dict[str, set[str]]:
    """What a cluster could leave on this machine."""
    folders = ("/sys/class/net", "/dev/shm", "/sys/fs/cgroup")
    found = {folder: set(os.listdir(folder)) for folder in folders if os.path.isdir(folder)}
    found["/run"] = {name for name in os.listdir("/run") if name.startswith(("linnet", "istio", "envoy"))}
    return {**found, "mounts": set(Path("/proc/self/mounts").read_text().splitlines())}


def users_of(folder: str) -> set[str]:
    """Processes that have something of a folder open, mounted or in their environment."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            texts = [
                Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
                for name in ("environ", "mountinfo")
            ]
            texts += [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        if any(folder in text for text in texts):
            found.add(Path(f"/proc/{pid}/comm").read_text().strip())
    return found


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """The mesh; at its end nothing of it is left, whatever was killed."""
    before = traces()
    with cluster() as made:
        mesh = Mesh(made)
        for revision, namespace in HOMES.items():
            made.linnet("install", "--set", "profile=minimal", "--set", f"revision={revision}", "-y")
            made.kubectl("create", "namespace", namespace)
            made.kubectl("label", "namespace", namespace, f"istio.io/rev={revision}")
            made.kubectl("apply", "-n", namespace, "-f", "examples/app.yaml")
        scale = ("scale", "-n", "moved", "--replicas=0", "deployment")
        made.kubectl(*scale, "caller", "backend-v1", "backend-v2")
        mesh.rolled_out()
        yield mesh
        folder = str(mesh.state)
        assert users_of(folder)
        made.linnet("local", "down")
        assert users_of(folder) == set()
        assert not os.path.exists(made.variables["XDG_RUNTIME_DIR"] + "/linnet")
        assert traces() == before


@pytest.mark.parametrize("revision", list(HOMES))
async def test_istiod_is_killed(mesh: Mesh, revision: str) -> None:
    """Nobody notices; its proxies come back to it and get what changes from then on."""
    labels = f"app=istiod,istio.io/rev={revision}"
    istiod = mesh.pod("istio-system", labels)
    os.kill(mesh.process(istiod["metadata"]["name"], "discovery"), signal.SIGKILL)
    await mesh.restarted(istiod)
    proxies = [mesh.pod("stays", "app=caller"), mesh.pod("moved", "app=frontend")]

    async def all_are_served() -> bool:
        done = await asyncio.to_thread(mesh.cluster.attempt, "proxy-status")
        return done.returncode == 0 and all(pod["metadata"]["name"] in done.stdout for pod in proxies)

    await until(all_are_served)
    name = f"later-{revision}"
    mesh.cluster.kubectl("create", "service", "clusterip", "-n", HOMES[revision], name, "--tcp=80:80")
    host = f"{name}.{HOMES[revision]}.svc.cluster.local"

    async def all_know() -> bool:
        answers = [await asyncio.to_thread(mesh.clusters_of, pod) for pod in proxies]
        return all(host in answer for answer in answers)

    await until(all_know)
    requests, failed = await asyncio.to_thread(mesh.end_load)
    assert requests > 0
    assert failed == 0


async def test_an_envoy_is_killed(mesh: Mesh) -> None:
    """It is started again with its configuration, and whoever calls afterwards is answered."""
    backend = mesh.pod("stays", "app=backend,version=v2")
    os.kill(mesh.process(backend["metadata"]["name"], "envoy"), signal.SIGKILL)
    await mesh.restarted(backend)
    await asyncio.to_thread(mesh.end_load)  # requests to the killed one may have failed
    requests, failed = await asyncio.to_thread(mesh.end_load)
    assert requests > 0
    assert failed == 0


async def test_the_api_server_is_killed(mesh: Mesh) -> None:
    """What was acknowledged is there, traffic flows on, and the mesh takes changes again."""
    facts = json.loads((mesh.state / "daemon.json").read_text())
    written: list[str] = []
    killed = False
    async with Client(from_kubeconfig(mesh.cluster.kubeconfig)) as client:

        async def write() -> bool:
            nonlocal killed
            name = f"kept-{len(written)}"
            try:
                await client.create(CONFIG_MAP, {"metadata": {"name": name, "namespace": "default"}})
            except ApiError as error:
                if error.reason != "AlreadyExists":  # stored, but its answer was lost
                    raise
            except OSError:
                return False
            written.append(name)
            if len(written) == 50 and not killed:
                killed = True
                os.kill(facts["processes"]["api"], signal.SIGKILL)
            return len(written) >= 100

        await until(write)
        found = {obj["metadata"]["name"] for obj in (await client.list(CONFIG_MAP, "default")).items}
    assert set(written) <= found
    requests, failed = await asyncio.to_thread(mesh.end_load)
    assert requests > 0
    assert failed == 0


@pytest.mark.parametrize("victim", ["daemon", "node"])
async def test_everything_is_killed(mesh: Mesh, victim: str) -> None:
    """The daemon or the node, and every pod with it: the same mesh comes back and serves all."""
    facts = json.loads((mesh.state / "daemon.json").read_text())
    caller = mesh.pod("stays", "app=caller")
    os.kill({"daemon": facts["pid"], **facts["processes"]}[victim], signal.SIGKILL)
    if victim == "daemon":
        mesh.cluster.linnet("local", "up")
    await mesh.restarted(caller)
    await asyncio.to_thread(mesh.rolled_out)
    await asyncio.to_thread(mesh.end_load)  # it began while the others were still starting
    requests, failed = await asyncio.to_thread(mesh.end_load)
    assert requests > 0
    assert failed == 0


def test_no_pod_can_read_the_keys(mesh: Mesh) -> None:
    """Root of a pod finds none of the cluster's files, neither by path nor through other processes."""
    files = [str(path) for path in mesh.state.rglob("*") if path.is_file() and "images" not in path.parts]
    assert any(path.endswith("ca.key") for path in files)
    script = "id -u; for f in $(cat); do for r in '' /proc/*/root; do cat $r$f && echo FOUND $r$f; done; done"
    pod = mesh.pod("stays", "app=caller")["metadata"]["name"]
    for container in ("load", "istio-proxy"):
        inside = ("exec", "-i", "-n", "stays", pod, "-c", container, "--", "sh", "-c")
        done = mesh.cluster.call("kubectl", *inside, f"({script}) 2>/dev/null", text="\n".join(files))
        assert done.stdout.splitlines()[1:] == [], done.stdout
        assert done.stdout.splitlines()[0] in ("0", "1337")
