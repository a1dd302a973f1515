"""The default revision: who has it, and giving it to one. Only a first install and an uninstall move it."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.apply import Change, apply_object, find
from linnet.install.marks import REV, TAG_LABEL, Object
from linnet.install.pilot import tag_service
from linnet.install.plane import NAME, Plane, suffixed
from linnet.install.webhooks import default_tag, default_validator, injector, with_bundles
from linnet.kube.client import Client
from linnet.kube.errors import NotFound
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
    """Let a plane serve what names no revision. Its own webhook must hold its CA bundle already."""
    own = await find(client, injector(plane))
    bundles = bundles_of([own] if own else [])
    live = await find(client, default_validator(plane))
    policies = (live or {}).get("webhooks") or ()
    closed = [{"name": "validation.istio.io", "failurePolicy": "Fail"}]
    wanted = [
        tag_service(plane),
        with_bundles(default_validator(plane), bundles, policies=policies or closed),
        # last: it tells who the default is, so an interrupted move is seen as not done
        with_bundles(default_tag(plane), bundles),
    ]
    if not plane.revision:
        wanted.append(injector(plane, active=False))
    return [await apply_object(client, obj, dry_run=dry_run) for obj in wanted]


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
    """Remove the default tag and validator, as nobody is left to have them; what was removed."""
    removed = []
    for kind, obj in (
        (VALIDATING_WEBHOOK, default_validator(plane)),
        (SERVICE, tag_service(plane)),
        (MUTATING_WEBHOOK, default_tag(plane)),
    ):
        meta = obj["metadata"]
        try:
            await client.delete(kind, meta["name"], meta.get("namespace", ""))
        except NotFound:
            continue
        removed.append(f"{kind.name}/{meta['name']}")
    return removed
