"""Who owns which field: the bookkeeping of `metadata.managedFields`, and server-side apply.

Source: structured-merge-diff, `merge`; Kubernetes, `apimachinery/pkg/util/managedfields`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from linnet.local.api import newfields
from linnet.local.api.configchecks import Untypable, check
from linnet.local.api.fieldsets import (
    FieldSet,
    Path,
    difference,
    intersection,
    leaf,
    paths,
    shown,
    union,
)
from linnet.local.api.managers import APPLY, UPDATE, Manager, Managers, Owned, entry
from linnet.local.api.typed import compared, fields_of, merged, with_named, without

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_BEFORE_FIRST_APPLY = "before-first-apply"

# Fields that the server writes; nobody owns them.
_SYSTEM = ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation")
_UNOWNED_META = frozenset((*_SYSTEM, "managedFields", "resourceVersion"))
_UNOWNED: FieldSet = {
    "f:apiVersion": leaf(),
    "f:kind": leaf(),
    "f:metadata": {
        ".": {},
        **{f"f:{name}": leaf() for name in _UNOWNED_META},
    },
}


class ApplyConflict(Exception):
    """Fields of the applied configuration are owned by others, with different values: a 409 `Conflict`.

    `message` and `causes` (reason FieldManagerConflict, message, field) are those of the Status.
    """

    def __init__(self, conflicts: list[tuple[Manager, Path]]) -> None:
        self.conflicts = conflicts
        self.message = _conflict_message(conflicts)
        self.causes: list[Json] = [
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {manager.shown()}",
                "field": shown(path),
            }
            for manager, path in conflicts
        ]
        super().__init__(self.message)


def _conflict_message(conflicts: list[tuple[Manager, Path]]) -> str:
    if len(conflicts) == 1:
        manager, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {manager.shown()}: {shown(path)}"
    lines: list[str] = []
    for manager in dict.fromkeys(manager for manager, _ in conflicts):
        lines.append(f"conflicts with {manager.shown()}:")
        lines += [f"- {shown(path)}" for other, path in conflicts if other == manager]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


class ApplyError(Exception):
    """A configuration that the schema cannot type: a 500 without a reason. `message` as in the Status."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def updated(
    live: Json | None,
    new: Json,
    *,
    manager: str,
    schema: Node | None,
    api_version: str,
    subresource: str = "",
    now: str,
) -> Json:
    """`new` with the managed fields of a create (live None), update or patch by `manager`.

    `now` is RFC 3339 in seconds. `managedFields: []` (or `[{}]`) in `new` resets them. A write that changes
    nothing keeps the old entries and their times.
    """
    me = Manager(manager, UPDATE, subresource, api_version)
    if live is None and not new.get("metadata", {}).get("managedFields"):
        return _created(new, me, schema, now)
    managers = _managers_of(live, new, subresource)
    _record_update(managers, schema, _bare(live), _bare(new), me, now)
    managers.capped(me)
    return _with_entries(_bare(new), managers, live)


def _created(new: Json, me: Manager, schema: Node | None, now: str) -> Json:
    """A new object, whose fields are all owned by its creator."""
    bare = _bare(new)
    owned = {name: value for name, value in bare.items() if name not in ("apiVersion", "kind")}
    owned["metadata"] = {name: value for name, value in bare["metadata"].items() if name not in _UNOWNED_META}
    if fields := newfields.of_object(schema, owned):
        bare["metadata"]["managedFields"] = [entry(me, me.api_version, now, fields)]
    return bare


def _managers_of(live: Json | None, new: Json, subresource: str) -> Managers:
    """The bookkeeping that a write starts from: the user's own if given, else the stored one."""
    stored = live["metadata"].get("managedFields") if live else None
    given = new.get("metadata", {}).get("managedFields")
    if subresource or given is None:
        return Managers(stored)
    if given == [] or given == [{}]:
        return Managers(None)
    return Managers(given)


def _record_update(
    managers: Managers, schema: Node | None, before: Json, after: Json, me: Manager, now: str
) -> None:
    """Move the ownership of what changed to `me`."""
    added, modified, removed = (difference(part, _UNOWNED) for part in compared(schema, before, after))
    changed = union(added, modified)
    for manager, owned in managers.owned.items():
        if removed:
            owned.fields = difference(owned.fields, removed)
        if changed and manager != me:
            owned.fields = difference(owned.fields, changed)
    if changed:
        mine = managers.owned.get(me)
        managers.owned[me] = Owned(union(mine.fields, changed) if mine else changed, me.api_version, now)
    managers.drop_empty()


def applied(
    live: Json | None,
    config: Json,
    *,
    manager: str,
    schema: Node | None,
    api_version: str,
    subresource: str = "",
    force: bool = False,
    now: str,
    ignored: tuple[str, ...] = (),
) -> Json:
    """The object after a server-side apply of `config` by `manager`, with its managed fields.

    `ignored` names top-level fields that this path cannot write (`status`): they are left out.
    Raises: ApplyConflict unless `force`; ApplyError for fields that the schema does not know.
    """
    config = {key: value for key, value in _bare(config).items() if key not in ignored}
    try:
        check(schema, config)
    except Untypable as error:
        raise ApplyError(_untypable(config, str(error))) from error
    managers = Managers(live["metadata"].get("managedFields") if live else None)
    before = _bare(live)
    if live is not None and not managers.owned:
        early = Manager(_BEFORE_FIRST_APPLY, UPDATE, "", live.get("apiVersion", api_version))
        _record_update(managers, schema, {"metadata": {}}, before, early, now)
    me = Manager(manager, APPLY, subresource, "")
    after, conflicts = _apply(managers, schema, before, config, me, api_version)
    if conflicts and not force:
        conflicts = _without_allowed(conflicts, schema, live, me)
        if conflicts:
            raise ApplyConflict(conflicts)
    mine = managers.owned[me]
    if live is None or after != before:
        mine.time = now
        after = _with_last_applied(after, config, live, me)
    managers.drop_empty()
    return _with_entries(after, managers, live)


def _apply(
    managers: Managers, schema: Node | None, before: Json, config: Json, me: Manager, api_version: str
) -> tuple[Json, list[tuple[Manager, Path]]]:
    """The new object, with `managers` as they are if conflicts are forced; and the conflicts."""
    last = managers.owned.get(me)
    mine = difference(fields_of(schema, config), _UNOWNED)
    after = merged(schema, before, config)
    managers.owned[me] = Owned(mine, api_version, last.time if last else "")
    if last and last.fields:
        owned: FieldSet = {}
        for other in managers.owned.values():
            owned = union(owned, other.fields)
        after = _pruned(schema, after, last.fields, owned)
    added, modified, removed = compared(schema, before, after)
    changed = union(added, modified)
    conflicts: list[tuple[Manager, Path]] = []
    for manager, other in sorted(managers.owned.items()):
        if manager == me:
            continue
        lost = intersection(other.fields, changed)
        conflicts += [(manager, path) for path in paths(lost)]
        other.fields = difference(difference(other.fields, lost), removed)
    return after, conflicts


def _pruned(schema: Node | None, whole: Json, last: FieldSet, owned: FieldSet) -> Json:
    """The merged object without what the manager applied last time and nobody owns any more."""
    named_last = with_named(schema, last)
    everything = with_named(schema, fields_of(schema, whole))
    rest = without(schema, whole, named_last) or {}
    wanted = union(with_named(schema, fields_of(schema, rest)), with_named(schema, owned))
    rest = without(schema, whole, difference(everything, wanted)) or {}
    dangling = difference(everything, with_named(schema, fields_of(schema, rest)))
    result: Json = without(schema, whole, intersection(dangling, named_last)) or {}
    return _without_emptied(result, whole)


def _without_emptied(result: Json, whole: Json) -> Json:
    """The object without the containers that lost everything in them."""
    out: Json = {}
    for name, value in result.items():
        before = whole.get(name)
        if value is None and before is not None:
            continue
        both = isinstance(value, dict) and isinstance(before, dict)
        out[name] = _without_emptied(value, before or {}) if both else value
    return out


def _without_allowed(
    conflicts: list[tuple[Manager, Path]], schema: Node | None, live: Json | None, me: Manager
) -> list[tuple[Manager, Path]]:
    """Conflicts that remain when kubectl takes over what it applied on the client side before."""
    text = _annotation(live)
    if me.name != _KUBECTL or not text or live is None:
        return conflicts
    try:
        last = orjson.loads(text)
    except orjson.JSONDecodeError:
        return conflicts
    if not isinstance(last, dict):
        return conflicts
    mine = fields_of(schema, last)
    for part in compared(schema, last, _bare(live)):
        mine = difference(mine, part)
    allowed = set(paths(mine))
    return [(manager, path) for manager, path in conflicts if path not in allowed]


def _annotation(obj: Json | None) -> str:
    """The configuration that kubectl applied on the client side last, "" if it did not."""
    annotations = (obj or {}).get("metadata", {}).get("annotations") or {}
    text: str = annotations.get(_LAST_APPLIED, "")
    return text


def _with_last_applied(after: Json, config: Json, live: Json | None, me: Manager) -> Json:
    """kubectl's client-side record follows its server-side applies where it exists already."""
    if me.name != _KUBECTL or me.subresource or not _annotation(live):
        return after
    metadata = dict(config.get("metadata", {}))
    if annotations := metadata.pop("annotations", None):
        metadata["annotations"] = {key: text for key, text in annotations.items() if key != _LAST_APPLIED}
    record = orjson.dumps({**config, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    old = after["metadata"]
    return {
        **after,
        "metadata": {**old, "annotations": {**(old.get("annotations") or {}), _LAST_APPLIED: record}},
    }


def _untypable(config: Json, problem: str) -> str:
    metadata = config.get("metadata", {})
    group, _, version = config.get("apiVersion", "").rpartition("/")
    place = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    kind = f"{group}/{version}, Kind={config.get('kind', '')}"
    return f"failed to create typed patch object ({place}; {kind}): {problem}"


def _bare(obj: Json | None) -> Json:
    """The object without its managed fields; an empty one for None."""
    if obj is None:
        return {"metadata": {}}
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _with_entries(obj: Json, managers: Managers, live: Json | None) -> Json:
    """The object with its entries; the stored ones if only times differ and the object does not."""
    entries = managers.entries()
    if live is not None and _bare(live) == obj:
        stored = live["metadata"].get("managedFields") or []
        if _timeless(stored) == _timeless(entries):
            entries = stored
    if entries:
        obj["metadata"]["managedFields"] = entries
    return obj


def _timeless(entries: list[Json]) -> list[Json]:
    return sorted(
        ({key: value for key, value in entry.items() if key != "time"} for entry in entries),
        key=lambda entry: orjson.dumps(entry, option=orjson.OPT_SORT_KEYS),
    )
