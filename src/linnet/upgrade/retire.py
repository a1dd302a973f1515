"""Remove a revision so that nothing in use is lost, whatever interrupts it.

    gateways handed over ─▶ default moved ─▶ webhooks ─▶ Services ─▶ Deployments and their pods ─▶ the rest

Each step leaves a cluster that works, and the same command goes on from there.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from msgspec import Struct

from linnet.install.default import current_default, drop_default, make_default
from linnet.install.marks import COMPONENT, REV, TAG_LABEL, Object
from linnet.install.pilot import recorded
from linnet.install.plane import NAME, Plane, suffixed
from linnet.install.progress import Report
from linnet.kube.client import Client
from linnet.kube.errors import Conflict, NotFound
from linnet.kube.kinds import CONFIG_MAP, DEPLOYMENT, MUTATING_WEBHOOK, POD, Kind
from linnet.kube.mirror import key_of
from linnet.kube.watch import Applied, Deleted, Listed, follow
from linnet.upgrade.gateways import hand_over
from linnet.upgrade.observe import observe
from linnet.upgrade.retirement import PURGED, Item, Plan, RetireError, plan
from linnet.upgrade.users import Observed, User, ending, users

DRAIN = 60.0  # seconds that ending pods keep their control plane


class Seen(Struct, frozen=True):
    """Everything that planning a removal needs."""

    observed: Observed
    objects: Mapping[Kind, Sequence[Object]]
    present: tuple[str, ...]
    default: str  # as labels write it; empty: nobody has it


class Retirement(Struct, frozen=True):
    """A plan, and who would lose something by it."""

    plan: Plan
    users: tuple[User, ...]
    reached: bool  # whether the revision's istiod told its streams


async def look(client: Client, namespace: str) -> Seen:
    """One look at the cluster."""
    async with asyncio.TaskGroup() as tasks:
        lists = {kind: tasks.create_task(client.list(kind, labels=COMPONENT)) for kind in PURGED}
        observing = tasks.create_task(observe(client, namespace))
        default = tasks.create_task(current_default(client, namespace))
    objects = {kind: task.result().items for kind, task in lists.items()}
    held = default.result()
    return Seen(observing.result(), objects, tuple(sorted(_present(objects))), held.revision if held else "")


def _present(objects: Mapping[Kind, Sequence[Object]]) -> set[str]:
    """Revisions whose istiod Deployment or injector is there and not being deleted (pure)."""
    found = set()
    for kind in (DEPLOYMENT, MUTATING_WEBHOOK):
        for obj in objects.get(kind, ()):
            labels, meta = obj["metadata"].get("labels") or {}, obj["metadata"]
            if (
                labels.get(COMPONENT) == "Pilot"
                and TAG_LABEL not in labels
                and not meta.get("deletionTimestamp")
            ):
                found.add(labels.get(REV, NAME))
    return found


def prepare(seen: Seen, revision: str, *, new_default: str = "", gateways_to: str = "") -> Retirement:
    """The plan for a revision and its users (pure). Raises RetireError."""
    made = plan(
        revision,
        present=_with_istiod(seen, revision),
        default=seen.default,
        objects=seen.objects,
        pods=seen.observed.pods,
        new_default=new_default,
        gateways_to=gateways_to,
    )
    moves = bool(made.heir) or made.drops_default
    found = users(seen.observed, revision, default_moves=moves)
    streams = seen.observed.streams.get(revision, frozenset())
    return Retirement(made, tuple(found), streams is not None)


def _with_istiod(seen: Seen, revision: str) -> set[str]:
    """The revisions that can take over: those whose istiod Deployment is there; and the one that goes."""
    able = {
        (obj["metadata"].get("labels") or {}).get(REV, NAME)
        for obj in seen.objects.get(DEPLOYMENT, ())
        if (obj["metadata"].get("labels") or {}).get(COMPONENT) == "Pilot"
    }
    return able | ({revision} & set(seen.present))


async def carry_out(client: Client, seen: Seen, made: Plan, *, seconds: float, report: Report) -> None:
    """Do it.

    Raises:
        ApplyError: gateways were not handed over within `seconds`; nothing has been removed.
        RetireError: the revision that takes over was not installed by Linnet.
    """
    namespace = seen.observed.namespace
    if made.gateways_to:
        leaving = await _recorded(client, namespace, made.revision)
        taker = await _plane(client, namespace, made.gateways_to)
        await _move_gateways(client, leaving, taker, made, seconds=seconds, report=report)
    if made.heir:
        await make_default(client, await _plane(client, namespace, made.heir))
        report.done(f"✔ Revision {made.heir} is the default now")
    if made.drops_default:
        for name in await drop_default(client, _bare(namespace)):
            report.done(f"  Removed {name}")
    await _wait_drained(client, made.revision, seconds=min(seconds, DRAIN), report=report)
    await remove(client, made.removed, made.revision, seconds=seconds, report=report)


async def _plane(client: Client, namespace: str, revision: str) -> Plane:
    found = await _recorded(client, namespace, revision)
    if found is None:
        raise RetireError(
            f"ConfigMap {namespace}/{_record_name(revision)} does not say how revision {revision} "
            "was installed; install it again first"
        )
    return found


async def _recorded(client: Client, namespace: str, revision: str) -> Plane | None:
    try:
        return recorded(await client.get(CONFIG_MAP, _record_name(revision), namespace))
    except NotFound:
        return None


def _record_name(revision: str) -> str:
    return suffixed("values", "" if revision == NAME else revision)


def _bare(namespace: str) -> Plane:
    return Plane(spec={"values": {"global": {"istioNamespace": namespace}}}, version="")


async def _move_gateways(
    client: Client,
    leaving: Plane | None,
    taker: Plane,
    made: Plan,
    *,
    seconds: float,
    report: Report,
) -> None:
    """The taker's own description of a gateway wins; else the leaving revision's serves."""
    own = {gateway.name: gateway for gateway in taker.gateways}
    inherited = {gateway.name: gateway for gateway in (leaving.gateways if leaving else ())}
    wanted = [own.get(name) or inherited.get(name) for name in made.gateways]
    served = [gateway for gateway in wanted if gateway is not None]
    if len(served) < len(made.gateways):
        missing = set(made.gateways) - {gateway.name for gateway in served}
        raise RetireError(f"neither revision describes the gateways {', '.join(sorted(missing))}")
    await hand_over(client, taker, served, seconds=seconds, report=report)
    report.done(f"✔ Gateways {', '.join(made.gateways)} are served by revision {taker.revision_name} now")


async def remove(
    client: Client, items: Iterable[Item], revision: str, *, seconds: float, report: Report
) -> None:
    """Delete objects in order; after the Deployments, wait until their pods are gone."""
    waited = False
    for item in items:
        if not waited and PURGED.index(item.kind) > PURGED.index(DEPLOYMENT):
            await _wait_gone(client, revision, seconds=seconds, report=report)
            waited = True
        try:
            await client.delete(item.kind, item.name, item.namespace, uid=item.uid)
        except (NotFound, Conflict):
            continue  # somebody removed it, or made another one under its name
        report.done(f"  Removed {item}.")


async def _wait_drained(client: Client, revision: str, *, seconds: float, report: Report) -> None:
    """Return when no pod that ends needs the revision any more, at most after `seconds`."""
    pods: dict[tuple[str, str], Object] = {}
    try:
        async with asyncio.timeout(seconds), aclosing(follow(client, POD)) as events:
            async for event in events:
                match event:
                    case Listed(items=items):
                        pods = {key_of(pod): pod for pod in items}
                    case Applied(object=pod):
                        pods[key_of(pod)] = pod
                    case Deleted(object=pod):
                        pods.pop(key_of(pod), None)
                left = ending(pods.values(), revision)
                if not left:
                    return
                report.working(f"Waiting for {len(left)} pods of revision {revision} to drain: {left[0]} …")
    except TimeoutError:
        report.done(f"  Going on after {seconds:g} seconds, although pods of the revision are still ending")


async def _wait_gone(client: Client, revision: str, *, seconds: float, report: Report) -> None:
    """Return when no pod of istiod or of a gateway is left of the revision (of any, if it is empty)."""
    selector = f"{COMPONENT},{REV}={revision}" if revision else COMPONENT
    names: set[tuple[str, str]] = set()
    try:
        async with (
            asyncio.timeout(seconds),
            aclosing(follow(client, POD, labels=selector)) as events,
        ):
            async for event in events:
                match event:
                    case Listed(items=items):
                        names = {key_of(pod) for pod in items}
                    case Applied(object=pod):
                        names.add(key_of(pod))
                    case Deleted(object=pod):
                        names.discard(key_of(pod))
                if not names:
                    return
                report.working(f"Waiting for {', '.join(sorted(name for _, name in names))} to end")
    except TimeoutError:
        report.done(
            f"  Still ending after {seconds:g} seconds: {', '.join(sorted(name for _, name in names))}"
        )
