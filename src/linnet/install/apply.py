"""Make the cluster hold a component: server-side apply, object by object, then wait until it works.

What is there already is applied as a dry run first, and written only when that shows a difference.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from linnet.install.marks import MANAGER, Object
from linnet.install.progress import Report
from linnet.install.ready import NotReady, identity, kind_of, wait_ready
from linnet.install.render import TITLES, Component
from linnet.install.webhooks import with_bundles
from linnet.kube.client import Client
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import CUSTOM_RESOURCE_DEFINITION, MUTATING_WEBHOOK, NAMESPACE, VALIDATING_WEBHOOK

_WEBHOOKS = frozenset({MUTATING_WEBHOOK.name, VALIDATING_WEBHOOK.name})


class Outcome(StrEnum):
    """What applying an object did, or would do."""

    CREATED = "created"
    CHANGED = "changed"
    SAME = "unchanged"
    REMOVED = "removed"


class Change(Struct, frozen=True):
    """An object and its outcome."""

    what: str
    outcome: Outcome
    note: str = ""


class ApplyError(OSError):
    """A component could not be installed; the message names the object."""


async def apply_component(
    client: Client,
    component: Component,
    *,
    seconds: float,
    report: Report,
    dry_run: bool = False,
    after: Callable[[], Awaitable[None]] | None = None,
) -> list[Change]:
    """Apply a component's objects and wait until they are ready; its webhooks come after that.

    `after` is what else must come true before the component counts as installed.

    Raises:
        ApplyError: the API server refused an object, or something did not become ready within `seconds`.
    """
    title, sign = TITLES[component.name]
    report.working(f"Processing resources for {title}.")
    plain = [obj for obj in component.objects if obj["kind"] not in _WEBHOOKS]
    hooks = [obj for obj in component.objects if obj["kind"] in _WEBHOOKS]
    try:
        changes = [await apply_object(client, obj, dry_run=dry_run) for obj in plain]
        if not dry_run:
            await wait_ready(client, plain, seconds=seconds, title=title, report=report)
        changes += [await apply_object(client, obj, dry_run=dry_run) for obj in hooks]
        if after is not None:
            await after()
    except (ApplyError, NotReady) as error:
        report.done(f"✘ {title} encountered an error: {error}")
        raise ApplyError(f"component {component.name}: {error}") from error
    if not dry_run:
        report.done(f"✔ {title} installed {sign}")
    return changes


async def apply_object(client: Client, obj: Object, *, dry_run: bool = False) -> Change:
    """Apply one object if that changes it. A validator that istiod has turned to `Fail` stays so.

    Raises:
        ApplyError: the API server refused it.
    """
    kind, meta = kind_of(obj), obj["metadata"]
    try:
        live = await find(client, obj)
        if live is not None and kind == VALIDATING_WEBHOOK:
            obj = with_bundles(obj, {}, policies=live.get("webhooks") or ())
        if live is not None and kind == CUSTOM_RESOURCE_DEFINITION and holds(live, obj):
            return Change(
                identity(obj), Outcome.SAME
            )  # many and large; the same version has the same content
        if live is not None or dry_run:
            result = await client.apply(kind, obj, manager=MANAGER, force=True, dry_run=True)
            outcome = _outcome(live, result)
            if outcome is Outcome.SAME or dry_run:
                return Change(identity(obj), outcome)
        await client.apply(kind, obj, manager=MANAGER, force=True)
    except NotFound as error:
        if dry_run and not await _exists(client, meta.get("namespace", "")):
            note = f"namespace {meta['namespace']} does not exist yet"
            return Change(identity(obj), Outcome.CREATED, note)
        raise ApplyError(f"{identity(obj)}: {error}") from error
    except ApiError as error:
        raise ApplyError(f"{identity(obj)}: {error}") from error
    return Change(identity(obj), Outcome.CREATED if live is None else Outcome.CHANGED)


async def find(client: Client, obj: Mapping[str, Any]) -> Object | None:
    """The live object of the same identity, if there is one."""
    meta = obj["metadata"]
    try:
        return await client.get(kind_of(obj), meta["name"], meta.get("namespace", ""))
    except NotFound:
        return None


async def _exists(client: Client, namespace: str) -> bool:
    try:
        await client.get(NAMESPACE, namespace)
    except NotFound:
        return False
    return True


def holds(live: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there with the same value, whatever else there is (pure)."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            key in live and holds(live[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(holds(*pair) for pair in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)


def _outcome(live: Object | None, result: Object) -> Outcome:
    if live is None:
        return Outcome.CREATED
    return Outcome.SAME if _content(live) == _content(result) else Outcome.CHANGED


def _content(obj: Object) -> Object:
    """The object without what changes by itself."""
    volatile = ("managedFields", "resourceVersion", "generation")
    meta = {key: value for key, value in obj["metadata"].items() if key not in volatile}
    return {key: value for key, value in obj.items() if key not in ("status", "metadata")} | {
        "metadata": meta
    }


def summary(changes: Sequence[Change]) -> str:
    """`3 created, 2 changed, 10 unchanged`."""
    counts = {outcome: sum(change.outcome is outcome for change in changes) for outcome in Outcome}
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "nothing"
