"""Revision tags: movable aliases `TAG -> REV` that namespaces and pods name. Source: Istio, revision tags."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.apply import apply_object, find
from linnet.install.default import bundles_of, drop_default, make_default
from linnet.install.marks import COMPONENT, REV, TAG_LABEL, Object
from linnet.install.pilot import recorded
from linnet.install.plane import NAME, Plane, suffixed
from linnet.install.webhooks import injector, tag, with_bundles
from linnet.kube.client import Client
from linnet.kube.errors import NotFound
from linnet.kube.kinds import CONFIG_MAP, MUTATING_WEBHOOK, NAMESPACE


class TagError(ValueError):
    """A tag that cannot be set or removed; the message says why."""


class Tag(Struct, frozen=True, order=True):
    """A row of `tag list`; an empty `tag` is a revision without one."""

    revision: str
    tag: str
    namespaces: tuple[str, ...]


def rows(injectors: Sequence[Mapping[str, Any]], namespaces: Sequence[Mapping[str, Any]]) -> list[Tag]:
    """All tags, and the revisions that have none, sorted (pure)."""
    pairs = set()
    for obj in injectors:
        labels = obj["metadata"].get("labels") or {}
        if labels.get("app") == "sidecar-injector" and REV in labels:
            pairs.add((labels[REV], labels.get(TAG_LABEL, "")))
    tagged = {revision for revision, name in pairs if name}
    return sorted(
        Tag(revision, name, _using(name or revision, namespaces))
        for revision, name in pairs
        if name or revision not in tagged
    )


def _using(name: str, namespaces: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = []
    for namespace in namespaces:
        labels = namespace["metadata"].get("labels") or {}
        injection = labels.get("istio-injection")
        if (name == NAME and injection == "enabled") or (labels.get(REV) == name and injection is None):
            found.append(namespace["metadata"]["name"])
    return tuple(sorted(found))


async def listed(client: Client) -> list[Tag]:
    """All tags of the cluster."""
    injectors = (await client.list(MUTATING_WEBHOOK, labels=REV)).items
    return rows(injectors, (await client.list(NAMESPACE)).items)


async def planned(client: Client, name: str, revision: str, namespace: str, *, overwrite: bool) -> Object:
    """The webhook of a tag as it would be set.

    Raises:
        TagError: no such revision, or the name is taken.
    """
    plane = await _plane(client, revision, namespace)
    known = await listed(client)
    if name != NAME and not overwrite and any(row.revision == name for row in known):
        raise TagError(
            f"cannot create revision tag {name}: found existing control plane revision with same name"
        )
    if not overwrite and any(row.tag == name for row in known):
        raise TagError(f'revision tag "{name}" already exists, and --overwrite is false')
    own = await find(client, injector(plane))
    return with_bundles(tag(plane, name), bundles_of([own] if own else []))


async def set_tag(client: Client, name: str, revision: str, namespace: str, *, overwrite: bool) -> None:
    """Let a tag name a revision. Raises TagError."""
    wanted = await planned(client, name, revision, namespace, overwrite=overwrite)
    if name == NAME:
        await make_default(client, await _plane(client, revision, namespace))
    else:
        await apply_object(client, wanted)


async def remove_tag(client: Client, name: str, namespace: str) -> None:
    """Delete a tag. Without the tag `default`, an un-revisioned plane injects by itself. Raises TagError."""
    found = (await client.list(MUTATING_WEBHOOK, labels=f"{TAG_LABEL}={name}")).items
    if not found:
        raise TagError(f"cannot remove tag {name}: there is no such tag")
    if name == NAME:
        plain = await _recorded(client, "", namespace)
        if plain is not None:
            own = await find(client, injector(plain))
            bundles = bundles_of([own] if own else [])
            await apply_object(client, with_bundles(injector(plain), bundles))
        await drop_default(
            client, Plane(spec={"values": {"global": {"istioNamespace": namespace}}}, version="")
        )
        return
    for obj in found:
        await client.delete(MUTATING_WEBHOOK, obj["metadata"]["name"])


async def _plane(client: Client, revision: str, namespace: str) -> Plane:
    plane = await _recorded(client, "" if revision == NAME else revision, namespace)
    if plane is None:
        known = (await client.list(MUTATING_WEBHOOK, labels=f"{REV},{COMPONENT}=Pilot,!{TAG_LABEL}")).items
        names = sorted(obj["metadata"]["labels"][REV] for obj in known)
        raise TagError(
            "cannot modify tag: cannot find MutatingWebhookConfiguration or Service "
            f"with revision {revision}; "
            f"there are: {', '.join(names) or 'none'}"
        )
    return plane


async def _recorded(client: Client, revision: str, namespace: str) -> Plane | None:
    try:
        return recorded(await client.get(CONFIG_MAP, suffixed("values", revision), namespace))
    except NotFound:
        return None
