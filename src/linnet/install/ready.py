"""Whether what was applied works: readiness by condition, and the wait for it.

Source: Istio, readiness of installed components; Kubernetes, `kubectl rollout status`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from linnet.install.marks import Object
from linnet.install.progress import Report
from linnet.kube.client import Client
from linnet.kube.kinds import CUSTOM_RESOURCE_DEFINITION, DEPLOYMENT, POD, Kind, of_object
from linnet.kube.watch import Applied, Deleted, Listed, follow

Verdict = Callable[[Mapping[str, Any]], str]  # why an object is not ready; empty when it is


class NotReady(OSError):
    """Something did not become ready in time; the message names it and says why."""


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """The kind of one of our objects."""
    kind = of_object(obj["apiVersion"], obj["kind"])
    assert kind is not None, f"{obj['apiVersion']} {obj['kind']} is not in kube.kinds"
    return kind


def identity(obj: Mapping[str, Any]) -> str:
    """`Kind/NAMESPACE/NAME`, or `Kind/NAME`."""
    meta = obj["metadata"]
    return "/".join(filter(None, (obj["kind"], meta.get("namespace"), meta["name"])))


def deployment_verdict(obj: Mapping[str, Any]) -> str:
    """Why a Deployment is not rolled out; empty when it is (pure)."""
    status, wanted = obj.get("status") or {}, (obj.get("spec") or {}).get("replicas", 1)
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return "its newest revision has not been seen yet"
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    if (obj.get("spec") or {}).get("paused") and (updated < wanted or total > updated):
        meta = obj["metadata"]
        remedy = f"kubectl -n {meta.get('namespace', 'default')} rollout resume deployment {meta['name']}"
        return f"its rollout is paused ({remedy})"
    if updated < wanted:
        return f"{updated} of {wanted} replicas updated"
    if total > updated:
        return f"{total - updated} old replicas left"
    ready = min(status.get("readyReplicas", 0), status.get("availableReplicas", 0))
    return "" if ready >= wanted else f"{ready} of {wanted} replicas ready"


def definition_verdict(obj: Mapping[str, Any]) -> str:
    """Why a CRD is not served; empty when it is (pure)."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    established = any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
    return "" if established else "not established"


_VERDICTS: Mapping[str, Verdict] = {
    DEPLOYMENT.name: deployment_verdict,
    CUSTOM_RESOURCE_DEFINITION.name: definition_verdict,
}


async def wait_ready(
    client: Client, objects: Sequence[Object], *, seconds: float, title: str, report: Report
) -> None:
    """Return when every object that has a readiness is ready.

    Raises:
        NotReady: after `seconds`; names every object that is not and why.
    """
    watched: dict[tuple[Kind, str], set[str]] = {}
    for obj in objects:
        if obj["kind"] in _VERDICTS:
            place = (kind_of(obj), obj["metadata"].get("namespace", ""))
            watched.setdefault(place, set()).add(obj["metadata"]["name"])
    waiting = {identity(obj): "not seen yet" for obj in objects if obj["kind"] in _VERDICTS}

    def tell() -> None:
        if waiting:
            report.working(f"Processing resources for {title}. Waiting for {', '.join(_shown(waiting))}")

    async def several(kind: Kind, namespace: str, names: set[str]) -> None:
        own = {"/".join(filter(None, (kind.name, namespace, name))) for name in names}
        async for obj, reason in _reasons(client, kind, namespace, names):
            what = "/".join(filter(None, (kind.name, namespace, obj)))
            if reason:
                waiting[what] = reason
            else:
                waiting.pop(what, None)
            tell()
            if not own & waiting.keys():
                return

    tell()
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for (kind, namespace), names in watched.items():
                tasks.create_task(several(kind, namespace, names))
    except TimeoutError:
        told = [
            f"{name}: {await _explained(client, name, reason)}" for name, reason in sorted(waiting.items())
        ]
        raise NotReady(f"not ready after {seconds:g} seconds: {'; '.join(told)}") from None


def _shown(waiting: Iterable[str]) -> list[str]:
    """What is waited for, in a text that changes seldom: definitions are many and become ready at once."""
    many = f"{CUSTOM_RESOURCE_DEFINITION.name}s"
    shown = [many if name.startswith(CUSTOM_RESOURCE_DEFINITION.name) else name for name in sorted(waiting)]
    return list(dict.fromkeys(shown))


async def _reasons(
    client: Client, kind: Kind, namespace: str, names: set[str]
) -> AsyncGenerator[tuple[str, str], None]:
    """Name and verdict of each object whenever it may have changed; one watch for all of a kind."""
    verdict = _VERDICTS[kind.name]
    only = f"metadata.name={next(iter(names))}" if len(names) == 1 else ""
    async with aclosing(follow(client, kind, namespace, fields=only)) as events:
        async for event in events:
            match event:
                case Listed(items=items):
                    seen = {obj["metadata"]["name"]: obj for obj in items}
                    for name in sorted(names):
                        yield name, verdict(seen[name]) if name in seen else "it does not exist"
                case Applied(object=obj) if obj["metadata"]["name"] in names:
                    yield obj["metadata"]["name"], verdict(obj)
                case Deleted(object=obj) if obj["metadata"]["name"] in names:
                    yield obj["metadata"]["name"], "it was deleted"


async def _explained(client: Client, name: str, reason: str) -> str:
    """The reason, and what the newest pod of a Deployment says."""
    kind, _, rest = name.partition("/")
    if kind != DEPLOYMENT.name:
        return reason
    namespace, _, short = rest.partition("/")
    pods = (await client.list(POD, namespace)).items
    own = [pod for pod in pods if pod["metadata"]["name"].startswith(f"{short}-")]
    if not own:
        return f"{reason}; it has no pods"
    newest = max(own, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))
    words = await _last_words(client, newest)
    return f"{reason}; pod {newest['metadata']['name']}: {pod_reason(newest)}" + (
        f" ({words})" if words else ""
    )


async def _last_words(client: Client, pod: Mapping[str, Any]) -> str:
    """The last line of a container that restarts; empty: none does, or its log cannot be read."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    failing = next((c["name"] for c in statuses if c.get("restartCount") and not c.get("ready")), "")
    if not failing:
        return ""
    meta = pod["metadata"]
    path = POD.path(meta["namespace"], meta["name"], "log")
    try:
        log = await client.raw("GET", path, params={"container": failing, "tailLines": "20"})
    except OSError:
        return ""
    lines = [line.strip(" |+-") for line in log.decode(errors="replace").split("\n")]
    words = next((line for line in reversed(lines) if line), "")
    return f"its last words: {words}" if words else ""


def pod_reason(pod: Mapping[str, Any]) -> str:
    """Why a pod is not ready, in its own words (pure)."""
    status = pod.get("status") or {}
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            return f"container {container['name']} ended with code {ended['exitCode']}"
    for condition in status.get("conditions") or ():
        if condition.get("type") in ("PodScheduled", "Ready") and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason") or condition["type"])
    return str(status.get("phase") or "unknown")
