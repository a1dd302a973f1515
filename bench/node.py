"""What the node costs: a sandbox, a changed service, the memory of 50 pods, the start of a sidecar.

    python -m bench.node [sandbox] [services] [up] [memory] [sidecar]        as root

CPU seconds are those of every process that takes part, read from /proc.
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import linnet
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import Forbidden
from linnet.kube.kinds import POD
from linnet.kube.watch import Listed, follow
from linnet.local import condition
from linnet.local.node.forker import Forker, fork_forker
from linnet.local.node.messages import Layout
from linnet.local.node.network import Network, make_node_namespace
from linnet.local.node.rootfs import private_files
from linnet.local.node.runtime import Command, SandboxSpec, Stdio
from linnet.local.node.sandboxes import LocalSandboxes
from linnet.local.node.service_table import Port, Service
from linnet.local.node.services import ServiceRules
from linnet.local.paths import local_paths

PODS = 50
SIDECARS = 5
SERVICES = 1000
_TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid: int) -> float:
    """CPU seconds of a process and of its children that were waited for."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / _TICK


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def sandbox(forker: Forker, forker_pid: int) -> None:
    """Create sandboxes, run a command in each, destroy them."""
    network = Network(make_node_namespace())
    sandboxes = LocalSandboxes(forker, network)
    spec = SandboxSpec("u", "default", "pod", "pod", "nameserver 10.96.0.10\n")
    before = cpu(os.getpid()) + cpu(forker_pid)
    begun = time.perf_counter()
    made = [await sandboxes.create(spec) for _ in range(PODS)]
    wall = time.perf_counter() - begun
    spent = cpu(os.getpid()) + cpu(forker_pid) + sum(map(cpu, children(forker_pid))) - before
    print(f"sandbox: {1000 * spent / PODS:.1f} ms CPU, {1000 * wall / PODS:.1f} ms wall (mean of {PODS})")
    begun = time.perf_counter()
    for one in made:
        process = await one.start(Command(("/bin/true",), env=()), Stdio())
        await process.wait()
    print(f"container process: {1000 * (time.perf_counter() - begun) / PODS:.1f} ms wall to its end")
    inits = [condition.memory(pid) for pid in children(forker_pid)]
    print(f"init of a pod: {sum(inits) / len(inits) / 2**20:.2f} MB PSS")
    begun = time.perf_counter()
    for one in made:
        await one.destroy()
    print(f"destroy: {1000 * (time.perf_counter() - begun) / PODS:.1f} ms wall")


def services() -> None:
    """A thousand services of three endpoints, then changes of one."""
    rules = ServiceRules(make_node_namespace())
    many = {f"s{n}": _service(n, 0) for n in range(SERVICES)}
    begun = time.process_time()
    rules.update({("default", name): one for name, one in many.items()})
    print(f"services: {SERVICES} in {1000 * (time.process_time() - begun):.0f} ms CPU")
    fronts, begun = rules.changed_fronts, time.process_time()
    for n in range(200):
        rules.update({("default", f"s{n}"): _service(n, 1)})
    spent = time.process_time() - begun
    changed = (rules.changed_fronts - fronts) / 200
    print(f"one change among {SERVICES}: {1000 * spent / 200:.2f} ms CPU, {changed:.0f} port touched")


def _service(number: int, turn: int) -> Service:
    backends = tuple((f"10.244.0.{2 + (number + k + turn) % 250}", 8080) for k in range(3))
    ip = f"10.96.{1 + number // 250}.{number % 250 + 1}"
    return Service("default", f"s{number}", "ClusterIP", ip, "", (Port("http", "TCP", 80, 0, backends),), ())


def cluster(parts: set[str]) -> None:
    """Start a cluster; with `memory`, run pods and add up what its processes take."""
    with tempfile.TemporaryDirectory(prefix="lb-", dir="/tmp") as directory:
        os.mkdir(f"{directory}/r")
        environment = {**os.environ, "XDG_STATE_HOME": f"{directory}/s", "XDG_RUNTIME_DIR": f"{directory}/r"}
        paths = local_paths(f"{directory}/s", f"{directory}/r")
        environment["KUBECONFIG"] = paths.kubeconfig
        linnet_local = [sys.executable, "-m", "linnet.cli", "local"]
        for name in ("first", "second"):
            begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*linnet_local, "up"], env=environment, check=True, capture_output=True)
            subprocess.run(["kubectl", "get", "nodes"], env=environment, check=True, capture_output=True)
            wall = time.perf_counter() - begun
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            spent += sum(cpu(process.pid) for process in condition.observe(paths).processes)
            print(f"{name} up to kubectl get nodes: {wall:.2f} s wall, {spent:.2f} s CPU")
            if name == "first":
                subprocess.run([*linnet_local, "down"], env=environment, check=True, capture_output=True)
        try:
            if "memory" in parts:
                _memory(environment, condition.observe(paths), lambda: condition.observe(paths))
            if "sidecar" in parts:
                [node] = (found.pid for found in condition.observe(paths).processes if found.name == "node")
                _sidecars(environment, node)
        finally:
            subprocess.run([*linnet_local, "down"], env=environment, check=True, capture_output=True)


def _memory(
    environment: dict[str, str], empty: condition.Condition, observe: Callable[[], condition.Condition]
) -> None:
    container = {"name": "c", "image": "linnet/host", "command": ["sleep", "100000"]}
    labels = {"app": "many"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"}, "spec": spec}
    begun = time.perf_counter()
    kubectl = ["kubectl", "apply", "-f", "-"]
    subprocess.run(
        kubectl, env=environment, check=True, capture_output=True, input=json.dumps(deployment).encode()
    )
    rollout = ["kubectl", "rollout", "status", "deployment/many", "--timeout=120s"]
    subprocess.run(rollout, env=environment, check=True, capture_output=True)
    print(f"{PODS} pods ready: {time.perf_counter() - begun:.1f} s wall")
    full = observe()
    print(
        f"memory (PSS): {empty.memory / 2**20:.0f} MB without pods, {full.memory / 2**20:.0f} MB with {PODS}"
    )
    for process in full.processes:
        print(f"  {process.name:<14} {process.memory / 2**20:6.1f} MB")


def _sidecars(environment: dict[str, str], node: int) -> None:
    """A mesh without gateways, then pods one after the other: from a sidecar's start until it is ready."""
    istioctl = [sys.executable, "-m", "linnet.cli"]
    for command in (
        [*istioctl, "install", "--set", "profile=minimal", "-y"],
        ["kubectl", "create", "namespace", "mesh"],
        ["kubectl", "label", "namespace", "mesh", "istio-injection=enabled"],
    ):
        subprocess.run(command, env=environment, check=True, capture_output=True)
    found = asyncio.run(_ready_times(environment["KUBECONFIG"], node))
    wall, spent = (statistics.median(values) for values in zip(*found, strict=True))
    print(f"sidecar, from its start to ready: {wall:.2f} s wall, {spent:.2f} s CPU (median of {SIDECARS})")
    print(
        "  CPU is that of its Envoy and of the whole node; load of the machine: "
        + Path("/proc/loadavg").read_text()
    )


def _of_pod(name: str) -> float:
    """CPU seconds of all processes of a pod."""
    total = 0.0
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if Path(f"/proc/{pid}/root/etc/hostname").read_text().strip() == name:
                total += cpu(int(pid))
        except OSError:
            continue
    return total


async def _ready_times(kubeconfig: str, node: int) -> list[tuple[float, float]]:
    """Seconds of wall time and of CPU for each sidecar."""
    times = []
    async with Client(from_kubeconfig(kubeconfig)) as client:
        for number in range(SIDECARS):
            spec = {"containers": [{"name": "c", "image": "linnet/host", "command": ["sleep", "100000"]}]}
            name = f"p{number}"
            while True:
                try:
                    await client.create(POD, {"metadata": {"name": name, "namespace": "mesh"}, "spec": spec})
                    break
                except Forbidden:  # the namespace's service account comes a moment after it
                    await asyncio.sleep(0.05)
            started, before = 0.0, cpu(node)
            events = follow(client, POD, "mesh", fields=f"metadata.name={name}")
            async with aclosing(events), asyncio.timeout(60):
                async for event in events:
                    found = event.items if isinstance(event, Listed) else [event.object]
                    statuses = found[0].get("status", {}).get("containerStatuses", []) if found else []
                    proxy: dict[str, Any] = next(
                        (status for status in statuses if status["name"] == "istio-proxy"), {}
                    )
                    started = started or (time.perf_counter() if proxy.get("state", {}).get("running") else 0)
                    if proxy.get("ready"):
                        wall = time.perf_counter() - started
                        times.append((wall, cpu(node) - before + _of_pod(name)))
                        break
    return times


def main() -> None:
    parts = set(sys.argv[1:]) or {"sandbox", "services", "up", "memory", "sidecar"}
    with tempfile.TemporaryDirectory() as scratch:
        if "sandbox" in parts:
            exposed = (sys.prefix, sys.base_prefix, str(Path(linnet.__file__).parent))
            forker = fork_forker(Layout(scratch, ("/root", "/home"), exposed, private_files()))
            asyncio.run(sandbox(forker, children(os.getpid())[0]))
            forker.control.close()
        if "services" in parts:
            services()
    if parts & {"up", "memory", "sidecar"}:
        cluster(parts)


if __name__ == "__main__":
    main()
