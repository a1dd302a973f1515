"""What `revision status` reads: istiods and the Envoys of their proxies, twice, some seconds apart.

All by port-forward, a few at once; who does not answer is named in what comes out.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from linnet.cli import istiods
from linnet.cli.proxy_status import TYPES
from linnet.upgrade.card import Card, Proxy, Rejection, Standing, Traffic
from linnet.upgrade.observe import fetch
from linnet.upgrade.signals import ENVOY, Counted, Signals, of_envoy, of_istiod

if TYPE_CHECKING:
    from linnet.kube.client import Client
    from linnet.upgrade.look import Seen
    from linnet.upgrade.revisions import Revision

ADMIN = 15000
AT_ONCE = 16  # port-forwards

Object = Mapping[str, Any]
Rows = dict[str, dict[str, Object]]  # revision -> proxy -> its row of /debug/syncz


class Plane(Struct, frozen=True):
    """What the istiods told at one moment; a revision of which none answered is not there."""

    rows: Rows
    counted: Mapping[str, Counted]


class Round(Struct, frozen=True):
    """What the proxies told at one moment (seconds of the loop's clock)."""

    at: float
    signals: Mapping[str, Signals | None]  # of those that answered
    faults: Mapping[str, str]


async def cards(
    client: "Client",
    seen: "Seen",
    found: "Sequence[Revision]",
    *,
    window: float,
    sample: int,
    seconds: float,
) -> list[Card]:
    """The cards of revisions. `sample`: proxies of each that are read; 0: all. `seconds`: for one answer."""
    pods = {_key(pod): pod for pod in seen.observed.pods}
    running = [
        istiods.Istiod.of(dict(pod))
        for pod in seen.observed.pods
        if (pod["metadata"].get("labels") or {}).get("app") == "istiod"
        and pod["metadata"]["namespace"] == seen.observed.namespace
        and istiods.serves(dict(pod))
    ]
    before = await _planes(client, running, seconds)
    chosen = {
        row.name: sampled(before.rows.get(row.name, {}), sample) for row in found if row.name in before.rows
    }
    names = sorted({name for some in chosen.values() for name in some})
    first = await _round(client, names, seconds)
    await asyncio.sleep(max(0.0, first.at + window - asyncio.get_running_loop().time()))
    second = await _round(client, names, seconds)
    after = await _planes(client, running, seconds)
    connected = {name for plane in (before, after) for rows in plane.rows.values() for name in rows}
    complete = {istiod.revision for istiod in running} <= set(after.rows)
    return [
        Card(
            revision=row,
            proxies=proxies(before.rows.get(row.name, {}), after.rows[row.name])
            if row.name in after.rows
            else None,
            counted=after.counted.get(row.name),
            grown=grown(before.counted.get(row.name), after.counted.get(row.name)),
            traffic=traffic(chosen.get(row.name, ()), first, second, pods),
            lost=tuple(n for n in row.pods if n not in connected and _ready(pods.get(n))) if complete else (),
            namespace=seen.observed.namespace,
        )
        for row in found
    ]


def sampled(rows: Mapping[str, Object], limit: int) -> tuple[str, ...]:
    """At most `limit` proxies (0: all): gateways first, then sidecars evenly from all namespaces."""
    names = sorted(rows, key=lambda name: (not _gateway(rows[name]), *reversed(name.rpartition("."))))
    if not limit or len(names) <= limit:
        return tuple(names)
    gateways = [name for name in names if _gateway(rows[name])][:limit]
    rest, left = names[len(gateways) :], limit - len(gateways)
    return (*gateways, *(rest[i * len(rest) // left] for i in range(left)))


def proxies(before: Mapping[str, Object], after: Mapping[str, Object]) -> tuple[Proxy, ...]:
    """The proxies that are connected now, and how they stand."""
    return tuple(
        Proxy(name, _gateway(row), standing(before.get(name), row), rejections(row))
        for name, row in sorted(after.items())
    )


def standing(before: Object | None, row: Object) -> Standing:
    """How a proxy stands, by what it was sent and answered at two moments."""
    if rejections(row):
        return Standing.REJECTING
    due = [
        column for _, column, _ in TYPES if row.get(f"{column}_sent", "") != row.get(f"{column}_acked", "")
    ]
    due += [column for column in ("cluster", "listener") if not row.get(f"{column}_sent")]
    if not due:
        return Standing.SYNCED
    same = before is not None and all(
        before.get(f"{column}_{end}", "") == row.get(f"{column}_{end}", "")
        for column in due
        for end in ("sent", "acked")
    )
    return Standing.SILENT if same else Standing.STALE


def rejections(row: Object) -> tuple[Rejection, ...]:
    """What a proxy rejects now, by type and resource."""
    found = []
    for type_url, resource in (row.get("resources") or {}).items():
        kind = next((short for short, _, url in TYPES if url == type_url), type_url.rpartition(".")[2])
        named = resource.get("rejected") or {}
        found += [Rejection(kind, name, " ".join(reason.split())) for name, reason in named.items()]
        if resource.get("lastError") and not named:
            found.append(Rejection(kind, "", " ".join(resource["lastError"].split())))
    return tuple(found)


def grown(before: Counted | None, after: Counted | None) -> Counted:
    """What came between two readings; nothing where istiod started anew or did not answer."""
    if before is None or after is None:
        return Counted()
    return Counted(
        {kind: max(0.0, n - before.rejects.get(kind, 0.0)) for kind, n in after.rejects.items()},
        max(0.0, after.errors - before.errors),
        max(0.0, after.refused - before.refused),
        after.convergence.since(before.convergence),
        after.injects,
    )


def traffic(names: Sequence[str], first: Round, second: Round, pods: Mapping[str, Object]) -> Traffic:
    """What some proxies answered between two rounds, by workload."""
    workloads: dict[str, Signals] = {}
    worst, counting = ("", 0.0, 0.0), 0
    for name in names:
        earlier, later = first.signals.get(name), second.signals.get(name)
        if later is None or name not in first.signals:
            continue
        counting += 1
        came = later.since(earlier or Signals())
        workload = workload_of(name, pods.get(name))
        workloads[workload] = workloads.get(workload, Signals()).plus(came)
        if came.failed + came.reset > worst[1]:
            worst = (name, came.failed + came.reset, came.requests)
    faults = {name: first.faults.get(name) or second.faults.get(name) or "" for name in names}
    return Traffic(
        seconds=second.at - first.at,
        asked=len(names),
        counting=counting,
        faults=tuple(f"{name}: {why}" for name, why in faults.items() if why),
        workloads=workloads,
        worst=worst,
    )


def workload_of(name: str, pod: Object | None) -> str:
    """`NAME.NAMESPACE` of what a pod belongs to: its canonical name, its app, or its owner."""
    meta = pod["metadata"] if pod else {}
    labels = meta.get("labels") or {}
    namespace = name.rpartition(".")[2]
    for label in ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app"):
        if labels.get(label):
            return f"{labels[label]}.{namespace}"
    owners = meta.get("ownerReferences") or ()
    return f"{owners[0]['name'] if owners else name.rpartition('.')[0]}.{namespace}"


async def _planes(client: "Client", running: Sequence[istiods.Istiod], seconds: float) -> Plane:
    async with asyncio.TaskGroup() as tasks:
        synced = tasks.create_task(istiods.ask(client, running, "/debug/syncz", seconds))
        metrics = tasks.create_task(istiods.ask(client, running, "/metrics", seconds))
    rows: Rows = {}
    for answer in synced.result():
        if not answer.fault:
            held = rows.setdefault(answer.istiod.revision, {})
            held |= {str(row["proxy"]): row for row in istiods.rows_of(answer) if row.get("proxy")}
    counted: dict[str, Counted] = {}
    for answer in metrics.result():
        if not answer.fault:
            told = of_istiod(answer.body.decode(errors="replace"))
            held_before = counted.get(answer.istiod.revision)
            counted[answer.istiod.revision] = held_before.plus(told) if held_before else told
    return Plane(rows, counted)


async def _round(client: "Client", names: Iterable[str], seconds: float) -> Round:
    at, turn = asyncio.get_running_loop().time(), asyncio.Semaphore(AT_ONCE)
    signals: dict[str, Signals | None] = {}
    faults: dict[str, str] = {}

    async def one(name: str) -> None:
        pod, _, namespace = name.rpartition(".")
        async with turn:
            try:
                async with asyncio.timeout(seconds):
                    body = await fetch(client, namespace, pod, ADMIN, ENVOY)
            except TimeoutError:
                faults[name] = f"no answer within {seconds:g} s"
            except OSError as error:
                faults[name] = str(error).partition("\n")[0]
            else:
                signals[name] = of_envoy(body.decode(errors="replace"))

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(one(name))
    return Round(at, signals, faults)


def _gateway(row: Object) -> bool:
    return row.get("proxy_type") == "router"


def _key(pod: Object) -> str:
    return f"{pod['metadata']['name']}.{pod['metadata'].get('namespace', '')}"


def _ready(pod: Object | None) -> bool:
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return False
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in (pod.get("status") or {}).get("conditions") or ()
    )
