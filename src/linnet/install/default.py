"""The default revision: who has it, and giving it to one.

Only a first install, an uninstall and `tag set default` move it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.apply import ApplyError, Change, apply_object, find
from linnet.install.marks import REV, TAG_LABEL, Object
from linnet.install.pilot import tag_service
from linnet.install.plane import NAME, Plane, suffixed
from linnet.install.ready import kind_of
from linnet.install.webhooks import (
    activated,
    deactivated,
    default_tag,
    default_validator,
    injector,
    injector_name,
    validator,
    with_bundles,
)
from linnet.kube.client import Client
from linnet.kube.errors import Conflict, NotFound
from linnet.kube.kinds import MUTATING_WEBHOOK, SERVICE, VALIDATING_WEBHOOK


class Default(Struct, frozen=True):
    """The revision that the default tag names (as labels write it), and whether its Service is there."""

    revision: str
    dangling: bool


async def current_default(client: Client, namespace: str) -> Default | None:
    """Who is the default now; None: nobody."""
    tags = (await client.list(MUTATING_WEBHOOK, labels=f"{TAG_LABEL}={NAME}")).items
    if not tags:
        return None
    revision = (tags[0]["metadata"].get("labels") or {}).get(REV, NAME)
    return Default(revision, not await _served(client, namespace, service_name(tags[0], revision)))


def service_name(tag: Mapping[str, Any], revision: str) -> str:
    """The Service that a tag's webhooks call (pure)."""
    for entry in tag.get("webhooks") or ():
        service = (entry.get("clientConfig") or {}).get("service")
        if service:
            return str(service["name"])
    return suffixed("istiod", "" if revision == NAME else revision)


async def _served(client: Client, namespace: str, name: str) -> bool:
    try:
        await client.get(SERVICE, name, namespace)
    except NotFound:
        return False
    return True


async def make_default(client: Client, plane: Plane, *, dry_run: bool = False) -> list[Change]:
    """Let a plane serve what names no revision: wholly, or not at all when a step fails.

    Between any two steps pods are created and objects accepted: what takes over is made before what it
    replaces goes. Its own webhooks must hold its CA bundle already.

    Raises:
        ApplyError: a step was refused; what came before it is as it was.
    """
    wanted = await default_as_live(client, plane)
    if dry_run:
        quiet = [] if plane.revision else [injector(plane, active=False)]
        return [await apply_object(client, obj, dry_run=True) for obj in (*wanted, *quiet)]
    before = [(obj, await find(client, obj)) for obj in wanted]
    changes: list[Change] = []
    try:
        for obj in wanted:
            changes.append(await apply_object(client, obj))  # noqa: PERF401 (what failed is not in the list)
        await set_active(client, plane.namespace, active=False)
    except BaseException as error:
        back = asyncio.shield(_restore(client, before[: len(changes) + 1]))
        try:
            async with asyncio.timeout(10):
                await back
        except (OSError, TimeoutError) as second:
            told = f"{error}; the default could not be put back ({second}): run the same command again"
            raise ApplyError(told) from error
        if isinstance(error, OSError):
            raise ApplyError(f"{error}; the default stays where it was") from error
        raise
    return changes


async def default_as_live(client: Client, plane: Plane) -> list[Object]:
    """The objects that make a plane the default, with CA bundles and failure policies as they are now."""
    own = [await find(client, injector(plane)), await find(client, validator(plane))]
    bundles = bundles_of([obj for obj in own if obj])
    live = await find(client, default_validator(plane))
    policies = (live or {}).get("webhooks") or ()
    closed = [{"name": "validation.istio.io", "failurePolicy": "Fail"}]
    return [
        tag_service(plane),
        with_bundles(default_validator(plane), bundles, policies=policies or closed),
        # last: it tells who the default is, so an interrupted move is seen as not done
        with_bundles(default_tag(plane), bundles),
    ]


async def _restore(client: Client, before: Sequence[tuple[Object, Object | None]]) -> None:
    """Put back what was there, newest change first."""
    for obj, was in reversed(before):
        live = await find(client, obj)
        kind, meta = kind_of(obj), obj["metadata"]
        if _version(live) == _version(was):
            continue  # it was not changed
        if was is None and live is not None:
            await client.delete(kind, meta["name"], meta.get("namespace", ""), uid=live["metadata"]["uid"])
        elif was is not None and live is None:
            kept = {k: v for k, v in was["metadata"].items() if k not in _OF_SERVER}
            await client.create(kind, {**was, "metadata": kept})
        elif was is not None and live is not None:
            kept = {k: v for k, v in was["metadata"].items() if k != "managedFields"}
            kept["resourceVersion"] = live["metadata"]["resourceVersion"]
            await client.replace(kind, {**was, "metadata": kept})


def _version(obj: Object | None) -> str:
    return str(obj["metadata"]["resourceVersion"]) if obj else ""


_OF_SERVER = frozenset({"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"})


async def set_active(client: Client, namespace: str, *, active: bool) -> bool:
    """Let the un-revisioned injector match pods by itself, or never; whether anything was changed.

    Without the default tag it does the work; beside the tag it would inject a second time.
    """
    name = injector_name(namespace)
    for _ in range(_ATTEMPTS):
        try:
            live = await client.get(MUTATING_WEBHOOK, name)
            wanted = activated(live) if active else deactivated(live)
            if wanted == live:
                return False
            await client.replace(MUTATING_WEBHOOK, wanted)
        except NotFound:
            return False
        except Conflict:  # istiod wrote its CA bundle meanwhile
            continue
        return True
    raise ApplyError(f"MutatingWebhookConfiguration/{name}: it changes all the time; try again")


_ATTEMPTS = 5


def bundles_of(injectors: Sequence[Object]) -> dict[str, str]:
    """CA bundles (base64) by Service name, as injection webhooks hold them (pure)."""
    found = {}
    for obj in injectors:
        for entry in obj.get("webhooks") or ():
            client = entry.get("clientConfig") or {}
            if client.get("caBundle") and client.get("service"):
                found[client["service"]["name"]] = client["caBundle"]
    return found


async def drop_default(client: Client, plane: Plane) -> list[str]:
    """Remove the default tag and validator; what was removed. An un-revisioned plane then serves itself."""
    await set_active(client, plane.namespace, active=True)
    removed = []
    for kind, obj in (
        (VALIDATING_WEBHOOK, default_validator(plane)),
        (SERVICE, tag_service(plane)),
        (MUTATING_WEBHOOK, default_tag(plane)),  # last: while it is there, the same command goes on
    ):
        meta = obj["metadata"]
        try:
            await client.delete(kind, meta["name"], meta.get("namespace", ""))
        except NotFound:
            continue
        removed.append(f"{kind.name}/{meta['name']}")
    return removed
