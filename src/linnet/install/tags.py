"""Revision tags: movable aliases `TAG -> REV` that namespaces and pods name. Source: Istio, revision tags."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.apply import apply_object, find
from linnet.install.default import bundles_of, default_as_live, drop_default, make_default
from linnet.install.marks import REV, TAG_LABEL, Object
from linnet.install.overlap import overlaps
from linnet.install.pilot import recorded
from linnet.install.plane import MAX_REVISION, NAME, Plane, suffixed
from linnet.install.tree import overlay
from linnet.install.webhooks import alias, deactivated, injector_name, tag, validator, with_bundles
from linnet.kube.client import Client
from linnet.kube.errors import Conflict, NotFound
from linnet.kube.kinds import CONFIG_MAP, DEPLOYMENT, MUTATING_WEBHOOK, NAMESPACE, SERVICE, VALIDATING_WEBHOOK


class TagError(ValueError):
    """A tag that cannot be set or removed; the message says why."""


class Tag(Struct, frozen=True, order=True):
    """A row of `tag list`; an empty `tag` is a revision without one."""

    revision: str
    tag: str
    namespaces: tuple[str, ...]


class Wish(Struct, frozen=True):
    """What `tag set` is asked to do. `webhook`: the name of the webhook object, if it is not Istio's."""

    name: str
    revision: str
    namespace: str
    overwrite: bool = False
    webhook: str = ""
    everywhere: bool = False  # also inject namespaces and pods without labels (only for `default`)


class Planned(Struct, frozen=True):
    """The objects of a tag as they would be, and what else would inject the same pods."""

    objects: tuple[Object, ...]
    conflicts: tuple[str, ...]
    plane: Plane | None  # of the revision, if Linnet installed it


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


def check_name(name: str) -> None:
    """Raises TagError for a name that no label or object could have (pure)."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) or len(name) > MAX_REVISION:
        raise TagError(
            f'invalid tag "{name}": use at most {MAX_REVISION} lower-case letters, digits and "-", '
            "beginning and ending with a letter or digit"
        )


async def planned(client: Client, wish: Wish) -> Planned:
    """The objects of a tag as it would be set.

    Raises:
        TagError: no such revision, or the name is taken.
    """
    check_name(wish.name)
    hooks = (await client.list(MUTATING_WEBHOOK)).items
    known = rows(hooks, ())
    if wish.name != NAME and not wish.overwrite and wish.name in _revisions(hooks):
        raise TagError(
            f"cannot create revision tag {wish.name}: found existing control plane revision with same name; "
            f"give the tag another name"
        )
    now = next((row.revision for row in known if row.tag == wish.name), wish.revision)
    if not wish.overwrite and now != wish.revision:  # the same again completes what was interrupted
        raise TagError(
            f'revision tag "{wish.name}" already exists, and --overwrite is false; it names revision {now}'
        )
    plane = await _recorded(client, "" if wish.revision == NAME else wish.revision, wish.namespace)
    own = _canonical(hooks, wish.revision)
    if plane is None and own is None:
        raise TagError(_missing(wish.revision, hooks))
    objects = await _objects(client, wish, plane, own)
    beside = [_quiet(hook, wish) for hook in hooks]
    conflicts = overlaps(beside, [obj for obj in objects if obj["kind"] == MUTATING_WEBHOOK.name])
    return Planned(objects, tuple(conflicts), plane)


def _revisions(hooks: Sequence[Object]) -> list[str]:
    """The revisions that have a webhook of their own."""
    labelled = [hook["metadata"].get("labels") or {} for hook in hooks]
    return sorted({labels[REV] for labels in labelled if _is_own(labels)})


def _is_own(labels: Mapping[str, str]) -> bool:
    return labels.get("app") == "sidecar-injector" and REV in labels and TAG_LABEL not in labels


def _canonical(hooks: Sequence[Object], revision: str) -> Object | None:
    own = [
        hook
        for hook in hooks
        if _is_own(labels := hook["metadata"].get("labels") or {}) and labels[REV] == revision
    ]
    if len(own) > 1:
        names = ", ".join(hook["metadata"]["name"] for hook in own)
        raise TagError(
            f"revision {revision} has several injectors: {names}; delete those that are not its own"
        )
    return own[0] if own else None


def _missing(revision: str, hooks: Sequence[Object]) -> str:
    tags = {(hook["metadata"].get("labels") or {}).get(TAG_LABEL) for hook in hooks}
    if revision in tags:
        return (
            f"cannot modify tag: {revision} is itself a tag; name a revision: {', '.join(_revisions(hooks))}"
        )
    return (
        "cannot modify tag: cannot find MutatingWebhookConfiguration or Service "
        f"with revision {revision}; there are: {', '.join(_revisions(hooks)) or 'none'}"
    )


def _quiet(hook: Object, wish: Wish) -> Object:
    """An un-revisioned injector as it will be when there is a default tag."""
    plain = wish.name == NAME and hook["metadata"]["name"] == injector_name(wish.namespace)
    return deactivated(hook) if plain else hook


async def _objects(client: Client, wish: Wish, plane: Plane | None, own: Object | None) -> tuple[Object, ...]:
    if wish.name == NAME:
        if plane is None:
            raise TagError(f"revision {wish.revision} was not installed by Linnet: install it again first")
        made = await default_as_live(client, _widened(plane, wish))
    elif own is not None:
        made = [alias(own, wish.name)]
    else:
        assert plane is not None
        checked = await find(client, validator(plane))
        bundles = bundles_of([checked] if checked else [])
        if not bundles:
            raise TagError(
                f"revision {wish.revision} has no injector and no CA bundle; install it again: "
                f"install --set revision={wish.revision}"
            )
        made = [with_bundles(tag(plane, wish.name), bundles)]
    if wish.webhook:
        for obj in made:
            if obj["kind"] == MUTATING_WEBHOOK.name:
                obj["metadata"]["name"] = wish.webhook
    elif wish.name != NAME and wish.namespace != "istio-system":
        made[0]["metadata"]["name"] = f"istio-revision-tag-{wish.name}-{wish.namespace}"
    return tuple(made)


def _widened(plane: Plane, wish: Wish) -> Plane:
    if not wish.everywhere:
        return plane
    values = {"values": {"sidecarInjectorWebhook": {"enableNamespacesByDefault": True}}}
    return Plane(spec=overlay(plane.spec, values), version=plane.version, owner=plane.owner)


async def set_tag(client: Client, wish: Wish, ready: Planned) -> None:
    """Let a tag name a revision.

    Raises:
        TagError: nobody could answer for the revision now, so pods would be refused.
        ApplyError: it was refused; the default stays where it was.
    """
    await _check_ready(client, wish, ready)
    if wish.name == NAME:
        assert ready.plane is not None
        await make_default(client, _widened(ready.plane, wish))
        return
    for obj in ready.objects:
        await apply_object(client, obj)


async def _check_ready(client: Client, wish: Wish, ready: Planned) -> None:
    selector = f"app=istiod,{REV}={wish.revision}"
    services = {
        (called["namespace"], called["name"])
        for obj in ready.objects
        for entry in obj.get("webhooks") or ()
        if (called := (entry.get("clientConfig") or {}).get("service"))
    }
    for namespace, name in sorted(services):
        try:
            await client.get(SERVICE, name, namespace)
        except NotFound:
            option = "" if wish.revision == NAME else f" --set revision={wish.revision}"
            raise TagError(
                f"revision {wish.revision} has no Service {namespace}/{name}: pods of the tag would be "
                f"refused; install it again first: install{option}"
            ) from None
    found = (await client.list(DEPLOYMENT, wish.namespace, labels=selector)).items
    ours = any(namespace == wish.namespace for namespace, _ in services)  # else another cluster serves it
    if (found or ours) and not any((obj.get("status") or {}).get("readyReplicas") for obj in found):
        raise TagError(
            f"revision {wish.revision} has no ready istiod: pods of the tag would be refused; "
            f"see: kubectl get pods -n {wish.namespace} -l {selector}"
        )


async def remove_tag(client: Client, name: str, namespace: str) -> None:
    """Delete a tag. Without the tag `default`, an un-revisioned plane injects by itself. Raises TagError."""
    kinds = (VALIDATING_WEBHOOK, SERVICE, MUTATING_WEBHOOK)  # the last one is what `tag list` shows
    found = {kind: (await client.list(kind, labels=f"{TAG_LABEL}={name}")).items for kind in kinds}
    if not any(found.values()):
        raise TagError(f"cannot remove tag {name}: there is no such tag; see: tag list")
    if name == NAME:
        await drop_default(
            client, Plane(spec={"values": {"global": {"istioNamespace": namespace}}}, version="")
        )
    for kind in kinds:
        for obj in found[kind]:
            meta = obj["metadata"]
            try:
                await client.delete(kind, meta["name"], meta.get("namespace", ""), uid=meta["uid"])
            except (NotFound, Conflict):
                continue  # gone already, or made anew


async def _recorded(client: Client, revision: str, namespace: str) -> Plane | None:
    try:
        return recorded(await client.get(CONFIG_MAP, suffixed("values", revision), namespace))
    except NotFound:
        return None
