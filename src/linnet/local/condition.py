"""How the local cluster is: running, answering, what it holds and costs."""

import json
import os
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from linnet.local import ask, records
from linnet.local.paths import Paths


class Process(Struct, frozen=True):
    """A process of the cluster; `memory` is its proportional share in bytes."""

    name: str
    pid: int
    memory: int


class Condition(Struct, frozen=True):
    """What `status` shows."""

    running: bool
    ready: bool
    version: str = ""
    started: str = ""
    server: str = ""
    kubeconfig: str = ""
    state: str = ""
    processes: tuple[Process, ...] = ()
    memory: int = 0  # of the cluster's own processes, inits of pods included
    pods: int = 0
    pods_ready: int = 0
    load_balancers: tuple[str, ...] = ()


def observe(paths: Paths) -> Condition:
    """The condition of the cluster now."""
    if not os.path.isdir(paths.state) or not records.running(paths):
        return Condition(running=False, ready=False, state=paths.state)
    facts = records.facts_of(paths)
    port = int(facts.get("port", 0))
    ready = ask.answers(paths, port)
    pods, services = _objects(paths, port, ready=ready)
    processes = tuple(_processes(facts))
    return Condition(
        running=True,
        ready=ready,
        version=facts.get("version", ""),
        started=facts.get("started", ""),
        server=f"https://127.0.0.1:{port}",
        kubeconfig=paths.kubeconfig,
        state=paths.state,
        processes=processes,
        memory=sum(process.memory for process in processes),
        pods=len(pods),
        pods_ready=sum(ask.is_ready(pod) for pod in pods),
        load_balancers=tuple(sorted(_addresses(services))),
    )


def shown(found: Condition, output: str) -> str:
    """The condition as text, JSON or YAML."""
    if output == "json":
        return json.dumps(msgspec.to_builtins(found), indent=2) + "\n"
    if output == "yaml":
        from io import StringIO

        from ruamel.yaml import YAML

        into = StringIO()
        YAML().dump(msgspec.to_builtins(found), into)
        return into.getvalue()
    if not found.running:
        return "The cluster is not running: linnet local up starts it\n"
    lines = [
        (
            f"Cluster:         {'ready' if found.ready else 'running, but it does not answer'}"
            f" (Linnet {found.version}, since {found.started})"
        ),
        f"API server:      {found.server}",
        f"Kubeconfig:      {found.kubeconfig}",
        f"Pods:            {found.pods_ready} of {found.pods} ready",
        *(f"Load balancer:   {address}" for address in found.load_balancers),
        f"Memory:          {found.memory >> 20} MB",
        *(
            f"  {process.name:<14} {process.memory >> 20:>4} MB  pid {process.pid}"
            for process in found.processes
        ),
    ]
    return "\n".join(lines) + "\n"


def _objects(paths: Paths, port: int, *, ready: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not ready:
        return [], []
    try:
        pods = ask.get(paths, port, "/api/v1/pods").get("items") or []
        services = ask.get(paths, port, "/api/v1/services").get("items") or []
    except OSError:  # it has just gone
        return [], []
    return pods, services


def _addresses(services: list[dict[str, Any]]) -> Iterator[str]:
    for service in services:
        name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        for entry in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            ports = [_port(port) for port in entry.get("ports") or ()]
            yield f"{name} at {entry.get('ip', '')} ports {', '.join(ports)}"


def _port(port: dict[str, Any]) -> str:
    error = port.get("error", "")
    return f"{port['port']}" + (f" ({error.removeprefix('linnet.io/')})" if error else "")


def _processes(facts: dict[str, Any]) -> Iterator[Process]:
    """The daemon, its processes, the forker with all inits of pods."""
    daemon = int(facts.get("pid", 0))
    parents = _parents()
    named = {daemon: "daemon"} | {pid: name for name, pid in (facts.get("processes") or {}).items()}
    node = int((facts.get("processes") or {}).get("node", 0))
    for pid, name in named.items():
        yield Process(name, pid, memory(pid))
    for forker in (pid for pid, parent in parents.items() if parent == node):
        inits = [pid for pid, parent in parents.items() if parent == forker and _is_init(pid)]
        yield Process("forker", forker, memory(forker))
        if inits:
            yield Process(f"{len(inits)} pod inits", forker, sum(map(memory, inits)))


def _is_init(pid: int) -> bool:
    """Whether a process is the first of a pid namespace, and not one of a container."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in file)
    except (FileNotFoundError, ProcessLookupError):
        return False


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    found[int(name)] = int(file.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
    return found


def memory(pid: int) -> int:
    """The proportional share of a process in bytes; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass  # it has just ended, or is not ours
    return 0
