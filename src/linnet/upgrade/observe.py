"""See who uses what: one look at the cluster and at each istiod's live streams."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

from linnet.install.marks import REV
from linnet.install.plane import NAME
from linnet.kube.client import Client
from linnet.kube.errors import NotFound
from linnet.kube.kinds import (
    CONFIG_MAP,
    ENDPOINT_SLICE,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    SERVICE,
    VALIDATING_WEBHOOK,
    Kind,
)
from linnet.upgrade.calling import ROOT, ROOT_KEY
from linnet.upgrade.users import Observed
from linnet.upgrade.workloads import WORKLOADS

MONITORING = 15014


async def observe(client: Client, namespace: str, *, seconds: float = 15.0, ask: bool = True) -> Observed:
    """What there is now. `seconds`: how long one istiod may take to tell its streams; `ask`: whether to."""

    async def everything(kind: Kind) -> list[dict[str, Any]]:
        try:
            return (await client.list(kind)).items
        except NotFound:  # a cluster that does not serve this kind has none
            return []

    async with asyncio.TaskGroup() as tasks:
        pods = tasks.create_task(everything(POD))
        namespaces = tasks.create_task(everything(NAMESPACE))
        injectors = tasks.create_task(everything(MUTATING_WEBHOOK))
        validators = tasks.create_task(everything(VALIDATING_WEBHOOK))
        services = tasks.create_task(everything(SERVICE))
        slices = tasks.create_task(client.list(ENDPOINT_SLICE, namespace))
        roots = tasks.create_task(_roots(client, namespace))
        workloads = [tasks.create_task(everything(kind)) for kind in WORKLOADS]
    istiods = [pod for pod in pods.result() if _is_istiod(pod, namespace)]
    return Observed(
        namespace=namespace,
        pods=pods.result(),
        namespaces=namespaces.result(),
        injectors=injectors.result(),
        validators=validators.result(),
        services=services.result(),
        workloads=[obj for task in workloads for obj in task.result()],
        streams=await streams(client, istiods, seconds=seconds) if ask else {},
        slices=slices.result().items,
        roots=roots.result(),
    )


async def _roots(client: Client, namespace: str) -> str:
    try:
        found = await client.get(CONFIG_MAP, ROOT, namespace)
    except NotFound:
        return ""
    return str((found.get("data") or {}).get(ROOT_KEY) or "")


def _is_istiod(pod: Mapping[str, Any], namespace: str) -> bool:
    meta = pod["metadata"]
    running = (pod.get("status") or {}).get("phase") == "Running" and not meta.get("deletionTimestamp")
    return (
        meta.get("namespace") == namespace and (meta.get("labels") or {}).get("app") == "istiod" and running
    )


async def streams(
    client: Client, istiods: Iterable[Mapping[str, Any]], *, seconds: float
) -> dict[str, frozenset[str] | None]:
    """The proxies connected to each revision; None for a revision of which no istiod answers."""

    async def ask(pod: Mapping[str, Any]) -> frozenset[str] | None:
        meta = pod["metadata"]
        port = int((meta.get("annotations") or {}).get("prometheus.io/port") or MONITORING)
        try:
            async with asyncio.timeout(seconds):
                return connected(await fetch(client, meta["namespace"], meta["name"], port, "/debug/syncz"))
        except (OSError, TimeoutError, ValueError):
            return None

    async with asyncio.TaskGroup() as tasks:
        asked = [(pod["metadata"]["labels"].get(REV, NAME), tasks.create_task(ask(pod))) for pod in istiods]
    found: dict[str, frozenset[str] | None] = {}
    for revision, task in asked:
        seen = task.result()
        before = found.get(revision)
        found[revision] = seen if before is None else before | (seen or frozenset())
    return found


def connected(body: bytes) -> frozenset[str]:
    """The proxy IDs (`pod.namespace`) in an answer of `/debug/syncz` (pure). Raises ValueError."""
    return frozenset(str(row["proxy"]) for row in json.loads(body) or () if row.get("proxy"))


async def fetch(
    client: Client, namespace: str, pod: str, port: int, path: str, *, method: str = "GET", body: bytes = b""
) -> bytes:
    """The body of the answer to a request through a port-forward to a pod. Raises OSError."""
    stream = await client.connect(namespace, pod, port)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}\r\n"
    try:
        await stream.write(head.encode() + body)
        answer = b""
        while chunk := await stream.read():
            answer += chunk
    finally:
        await stream.close()
    return body_of(answer)


def body_of(answer: bytes) -> bytes:
    """The body of a complete HTTP/1.1 answer (pure). Raises OSError for anything but 200 and 202."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    if not separator or status[8:13].strip() not in (b"200", b"202"):
        said = body.decode(errors="replace").strip() if len(body) < 200 else ""
        raise OSError(f"unexpected answer: {status.decode(errors='replace') or 'none'} {said}".rstrip())
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)
    }
    if headers.get(b"transfer-encoding", b"").lower() != b"chunked":
        return body
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.partition(b";")[0] or b"0", 16)
        if not length:
            break
        whole, body = whole + rest[:length], rest[length + 2 :]
    return whole
