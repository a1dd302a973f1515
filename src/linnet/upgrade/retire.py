"""Remove a revision so that nothing in use is lost, whatever interrupts it.

    gateways handed over ─▶ default moved ─▶ webhooks ─▶ Services ─▶ Deployments and their pods ─▶ the rest

Each step leaves a cluster that works, and the same command goes on from there.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing

from msgspec import Struct

from linnet.install.default import make_default
from linnet.install.marks import COMPONENT, REV, Object
from linnet.install.plane import NAME, Plane, suffixed
from linnet.install.progress import Report
from linnet.install.ready import NotReady
from linnet.install.selftest import prove_injection, prove_validation
from linnet.kube.client import Client
from linnet.kube.errors import ApiError, Conflict, NotFound
from linnet.kube.kinds import DEPLOYMENT, MUTATING_WEBHOOK, POD, SERVICE, VALIDATING_WEBHOOK
from linnet.kube.mirror import key_of
from linnet.kube.watch import Applied, Deleted, Listed, follow
from linnet.upgrade.fleet import Gateway, Way
from linnet.upgrade.gateways import UnknownGateway, hand_over, move_injected, specs
from linnet.upgrade.health import Dangling, dangling
from linnet.upgrade.look import Seen
from linnet.upgrade.moving import ready
from linnet.upgrade.retirement import PURGED, Item, Plan, RetireError, plan
from linnet.upgrade.users import User, ending, users

DRAIN = 60.0  # seconds that ending pods keep their control plane
PROOF = 60.0  # seconds in which a revision that runs must show that it works


class Retirement(Struct, frozen=True):
    """A plan, and who would lose something by it."""

    plan: Plan
    users: tuple[User, ...]
    reached: bool  # whether the revision's istiod told its streams


def prepare(
    seen: Seen, revision: str, *, new_default: str = "", gateways_to: str = "", force: bool = False
) -> Retirement:
    """The plan for a revision and its users (pure). Raises RetireError."""
    observed = seen.observed
    made = plan(
        revision,
        present=seen.able | ({revision} & set(seen.present)),
        default=seen.default,
        objects=seen.objects,
        gateways=seen.gateways,
        hooks=(*observed.injectors, *observed.validators),
        namespace=observed.namespace,
        new_default=new_default,
        gateways_to=gateways_to,
        force=force,
    )
    _check_takers(seen, made)
    found = users(
        observed,
        revision,
        default_moves=bool(made.heir) or made.drops_default,
        handed=made.handed,
        leaving=[(item.namespace, item.name) for item in made.removed if item.kind == SERVICE],
    )
    return Retirement(made, tuple(found), observed.streams.get(revision, frozenset()) is not None)


def _check_takers(seen: Seen, made: Plan) -> None:
    """Who takes something over must be able to serve now: a default that nobody answers for blocks pods."""
    for taker, what in ((made.heir, "become the default"), (made.gateways_to, "serve the gateways")):
        if taker and not ready(seen, taker):
            raise RetireError(
                f"revision {taker} would {what}, but it has no ready istiod; nothing was removed. "
                f"See: kubectl get pods -n {seen.observed.namespace} -l app=istiod,{REV}={taker}"
            )


async def carry_out(
    client: Client, seen: Seen, made: Plan, *, seconds: float, report: Report
) -> list[Dangling]:
    """Do it; the webhooks that call nobody afterwards, of which there should be none.

    Raises:
        ApplyError: gateways were not handed over within `seconds`; nothing has been removed.
        RetireError: the revision that takes over was not installed by Linnet, does not inject or validate,
            or something may not be removed; nothing has been changed.
    """
    await _rehearse(client, made)
    if made.heir:
        await _prove(client, _plane(seen, made.heir), seconds=seconds, report=report)
    if made.gateways_to:
        await _move_gateways(client, seen, made, seconds=seconds, report=report)
    if made.heir:
        await make_default(client, _plane(seen, made.heir))
        report.done(f"✔ Revision {made.heir} is the default now")
    for gateway in made.restarts:
        goes_to = made.heir if gateway.asks == NAME and made.heir else gateway.next
        await move_injected(client, gateway, goes_to, Way.RESTART, seconds=seconds, report=report)
        report.done(f"✔ Gateway {gateway} is served by revision {goes_to} now")
    await remove(client, made.default, made.revision, seconds=seconds, report=report)
    await _wait_drained(client, made.revision, seconds=min(seconds, DRAIN), report=report)
    await remove(client, (*made.callers, *made.removed), made.revision, seconds=seconds, report=report)
    return await left_dangling(client, seen.observed.namespace)


async def _rehearse(client: Client, made: Plan) -> None:
    """Raises RetireError when the API server would refuse one of the deletions: all of them, or none."""
    for item in made.items:
        try:
            await client.delete(item.kind, item.name, item.namespace, uid=item.uid, dry_run=True)
        except (NotFound, Conflict):
            continue
        except ApiError as error:
            raise RetireError(f"{item} cannot be removed: {error}; nothing was changed") from error


async def _prove(client: Client, heir: Plane, *, seconds: float, report: Report) -> None:
    """Raises RetireError when the revision that becomes the default does not inject or validate."""
    try:
        await prove_validation(client, heir, seconds=min(seconds, PROOF), report=report)
        if heir.revision:  # an un-revisioned injector rests beside the default tag
            await prove_injection(client, heir, seconds=min(seconds, PROOF), report=report)
    except NotReady as error:
        raise RetireError(
            f"revision {heir.revision_name} cannot become the default: {error}; nothing was changed. "
            f"See: verify-install --revision {heir.revision_name}"
        ) from error


async def left_dangling(client: Client, namespace: str) -> list[Dangling]:
    """The webhooks whose Service is missing now."""
    hooks = [
        *(await client.list(MUTATING_WEBHOOK)).items,
        *(await client.list(VALIDATING_WEBHOOK)).items,
    ]
    return dangling(hooks, (await client.list(SERVICE)).items, namespace)


def _plane(seen: Seen, revision: str) -> Plane:
    found = seen.records.get(revision)
    if found is None:
        name = suffixed("values", "" if revision == NAME else revision)
        raise RetireError(
            f"ConfigMap {seen.observed.namespace}/{name} does not say how revision {revision} "
            "was installed; install it again first"
        )
    return found


async def _move_gateways(client: Client, seen: Seen, made: Plan, *, seconds: float, report: Report) -> None:
    taker = _plane(seen, made.gateways_to)
    await move_gateways(client, seen, taker, made.gateways, seconds=seconds, report=report)


async def move_gateways(
    client: Client, seen: Seen, taker: Plane, moved: Sequence[Gateway], *, seconds: float, report: Report
) -> None:
    """Bring gateways to the revision of `taker`, installed ones first, and wait until it alone serves them.

    Raises:
        ApplyError: not within `seconds`; the same call completes it.
        RetireError: nobody knows how one of them was installed; nothing has been changed.
    """
    try:
        wanted = specs((g for g in moved if g.installed), taker, seen.records.values())
    except UnknownGateway as error:
        raise RetireError(str(error)) from error
    await hand_over(client, taker, wanted, seconds=seconds, report=report)
    for gateway in moved:
        if not gateway.installed and (way := gateway.way(taker.revision_name)):
            await move_injected(client, gateway, taker.revision_name, way, seconds=seconds, report=report)
    if moved:
        names = ", ".join(shown(gateway, seen.observed.namespace) for gateway in moved)
        report.done(f"✔ Gateways {names} are served by revision {taker.revision_name} now")


def shown(gateway: Gateway, namespace: str) -> str:
    """A gateway's name for people: with its namespace if that is not the control plane's."""
    return gateway.name if gateway.namespace == namespace else str(gateway)


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
