"""What the API server takes over HTTP: pod creations, lists of 5,000 pods, watches; CPU is the server's.

    python -m bench.api [create] [list] [watch]

The server runs in a process of its own without controllers and node; clients are in this one and speak TLS.
Every creation is validated, defaulted, gets managed fields and is on disk before it is answered.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import orjson

from bench._apiserver import Server, running
from bench._pods import pod
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig

PODS = 5_000
CLIENTS = 16
LISTS = 5
WATCHERS = 200
EVENTS = 200
NAMESPACE = "default"
PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Caller:
    """Connections to the server, kept open."""

    def __init__(self, server: Server) -> None:
        self.config = from_kubeconfig(server.kubeconfig)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.config.tls or True), read_bufsize=2**22
        )

    async def call(self, method: str, path: str, body: bytes | None = None, accept: str = "") -> bytes:
        """The answer's body. Raises RuntimeError for an answer that is an error."""
        headers = {"Accept": accept or "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        async with self.session.request(
            method, self.config.server + path, data=body, headers=headers
        ) as response:
            answer = await response.read()
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {answer[:200]!r}")
            return answer


async def create(caller: Caller, server: Server) -> None:
    """Create the pods, so many at a time."""
    bodies = [orjson.dumps(pod(f"pod-{at:05}", NAMESPACE)) for at in range(PODS)]
    left = iter(bodies)

    async def one_client() -> None:
        for body in left:
            await caller.call("POST", PATH, body)

    cpu, wall = server.cpu(), time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(one_client())
    cpu, wall = server.cpu() - cpu, time.perf_counter() - wall
    stored = await caller.call("GET", f"{PATH}/pod-00000")
    print(
        f"create: {PODS / wall:,.0f} pods/s, {1e3 * cpu / PODS:.2f} ms CPU each "
        f"({len(bodies[0])} bytes sent, {len(stored)} stored; {CLIENTS} at a time)",
        flush=True,
    )
    print(f"memory with {PODS:,} pods and their history: {server.memory():.0f} MB", flush=True)


async def lists(caller: Caller, server: Server) -> None:
    """Lists of all pods: whole, as kubectl's table, and by a label that none has."""
    wanted: Sequence[tuple[str, str, str]] = (
        ("whole", "", ""),
        ("table", "", TABLE),
        ("selector without a match", "?labelSelector=app%3Dnone", ""),
    )
    for name, query, accept in wanted:
        size = len(await caller.call("GET", PATH + query, accept=accept))  # the first one warms up
        cpu, wall = server.cpu(), time.perf_counter()
        for _ in range(LISTS):
            await caller.call("GET", PATH + query, accept=accept)
        cpu, wall = (server.cpu() - cpu) / LISTS, (time.perf_counter() - wall) / LISTS
        print(f"list {name}: {1e3 * cpu:.0f} ms CPU, {1e3 * wall:.0f} ms wall, {size:,} bytes", flush=True)


async def watch(caller: Caller, server: Server) -> None:
    """Many watchers of one namespace while objects change in it."""
    revision = orjson.loads(await caller.call("GET", f"{PATH}?limit=1"))["metadata"]["resourceVersion"]
    path = f"{caller.config.server}{PATH}?watch=true&resourceVersion={revision}"
    ready = asyncio.Semaphore(0)
    delays: list[float] = []
    sent: dict[str, float] = {}

    async def one_watcher() -> None:
        async with caller.session.get(path, timeout=aiohttp.ClientTimeout(total=None)) as response:
            ready.release()
            for at in range(EVENTS):
                await response.content.readuntil(b"\n")
                delays.append(time.perf_counter() - sent[f"event-{at:05}"])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(WATCHERS):
            tasks.create_task(one_watcher())
        for _ in range(WATCHERS):
            await ready.acquire()
        cpu, wall = server.cpu(), time.perf_counter()
        for at in range(EVENTS):
            name = f"event-{at:05}"
            body = orjson.dumps(pod(name, NAMESPACE))
            sent[name] = time.perf_counter()
            await caller.call("POST", PATH, body)
    cpu, wall = server.cpu() - cpu, time.perf_counter() - wall
    delivered = WATCHERS * EVENTS
    delays.sort()
    print(
        f"watch: {delivered / wall:,.0f} events/s to {WATCHERS} watchers, "
        f"{1e6 * cpu / delivered:.0f} us CPU each (the creations included), "
        f"from request to watcher {1e3 * delays[len(delays) // 2]:.1f} ms median",
        flush=True,
    )


async def _all(wanted: Sequence[str]) -> None:
    steps: dict[str, Callable[[Caller, Server], Awaitable[None]]] = {
        "create": create,
        "list": lists,
        "watch": watch,
    }
    async with running() as server:
        print(f"memory at the start: {server.memory():.0f} MB", flush=True)
        config = from_kubeconfig(server.kubeconfig)
        async with Client(config) as client:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            await client.raw("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", body=account)
        caller = Caller(server)
        try:
            for name, step in steps.items():
                if name in wanted or not wanted:
                    await step(caller, server)
        finally:
            await caller.session.close()


if __name__ == "__main__":
    asyncio.run(_all(sys.argv[1:]))
