"""Strategic merge patch: merges lists of built-in kinds by their merge keys.

Directives in a patch: `$patch: replace|delete|merge`, `$retainKeys`, `$setElementOrder/F`,
`$deleteFromPrimitiveList/F`.
Source: Kubernetes, `k8s.io/apimachinery/pkg/util/strategicpatch`; order of new elements observed with 1.35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from linnet.local.api.copies import copied
from linnet.local.api.jsonpatch import PatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from linnet.local.api.schemas import Node

Json = dict[str, Any]

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_patch(doc: Json, patch: Json, schema: Node) -> Json:
    """The document after a strategic merge patch; `doc` is not changed. Raises: PatchError."""
    if not isinstance(patch, dict):
        raise PatchError(
            "json: cannot unmarshal value into Go value of type map[string]interface {}", code=400
        )
    return _merge_map(copied(doc), copied(patch), schema)


def _merge_map(doc: Json, patch: Json, node: Node | None) -> Json:
    match patch.pop(_DIRECTIVE, "merge"):
        case "replace":
            return _plain(patch)
        case "delete":
            return {}
        case "merge":
            pass
        case other:
            raise PatchError(f"Unknown patch type found: {other}", code=400)
    retained = patch.pop(_RETAIN, None)
    if retained is not None:
        _check_retained(patch, retained)
        doc = {key: value for key, value in doc.items() if key in retained}
    orders = {key[len(_ORDER) :]: patch.pop(key) for key in [*patch] if key.startswith(_ORDER)}
    for key in [key for key in patch if key.startswith(_DELETE)]:
        gone, name = patch.pop(key), key[len(_DELETE) :]
        if isinstance(doc.get(name), list):
            doc[name] = [item for item in doc[name] if item not in gone]
    for key, value in patch.items():
        child = node.child(key) if node else None
        if value is None:
            doc.pop(key, None)
        elif isinstance(value, dict):
            doc[key] = _merge_field(doc.get(key), value, child)
        elif isinstance(value, list) and child and "merge" in child.strategies:
            doc[key] = _merge_list(doc.get(key), value, child, orders.get(key))
        else:
            doc[key] = _content(value)
    for name, order in orders.items():
        child = node.child(name) if node else None
        if name not in patch and isinstance(doc.get(name), list) and child and "merge" in child.strategies:
            doc[name] = _ordered(doc[name], order, [], _identity(child))
    return doc


def _merge_field(current: Any, patch: Json, node: Node | None) -> Json:
    """A struct or map field. The strategy `replace` of the field itself gives way to nothing."""
    if node is not None and "replace" in node.strategies:
        return _plain(patch)
    if isinstance(current, dict):
        return _merge_map(current, patch, node)
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    return _merge_map({}, patch, node)


def _check_retained(patch: Json, retained: Any) -> None:
    """Every field that the patch sets must be in the list of retained keys."""
    if not isinstance(retained, list):
        raise PatchError(f"invalid {_RETAIN} list: {retained}", code=400)
    stray = [
        key for key in patch if not key.startswith("$") and key not in retained and patch[key] is not None
    ]
    if stray:
        raise PatchError(f"{_RETAIN} directive and patch do not agree: {', '.join(stray)}", code=400)


def _merge_list(current: Any, patch: list[Any], node: Node, order: list[Any] | None) -> list[Any]:
    """A list with merge strategy: elements are merged by key, new ones are added, order follows the patch."""
    before = list(current) if isinstance(current, list) else []
    identity = _identity(node)
    if not node.merge_key:
        return _merge_set(before, patch, order)
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_plain(item) for item in patch if item.get(_DIRECTIVE) != "replace"]
    merged = list(before)
    listed = []
    for item in patch:
        if not isinstance(item, dict):
            raise PatchError(f"unable to find api field in struct for the json field {item!r}", code=400)
        if node.merge_key not in item:
            raise PatchError(
                f"map: {go_text(item)} does not contain declared merge key: {node.merge_key}", code=400
            )
        key = item[node.merge_key]
        places = [at for at, other in enumerate(merged) if other.get(node.merge_key) == key]
        if item.get(_DIRECTIVE) == "delete":
            merged = [other for other in merged if other.get(node.merge_key) != key]
            continue
        listed.append(item)
        if not places:
            merged.append(_merge_map({}, item, node.items))
        for at in places:
            merged[at] = _merge_map(merged[at], dict(item) if len(places) > 1 else item, node.items)
    wanted = order if order is not None else [{node.merge_key: item[node.merge_key]} for item in listed]
    return _ordered(merged, wanted, before, identity)


def _merge_set(before: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    """A list of primitives with merge strategy: the union, in the order of the patch."""
    merged = list(dict.fromkeys([*before, *patch]))
    return _ordered(merged, order if order is not None else patch, before, _itself)


def _itself(item: Any) -> Any:
    """The item as something that can be a key of a dict."""
    return orjson.dumps(item) if isinstance(item, dict | list) else item


def _identity(node: Node) -> Callable[[Any], Any]:
    """What tells the elements of a list apart."""
    key = node.merge_key
    return (lambda item: _itself(item.get(key) if isinstance(item, dict) else item)) if key else _itself


def _ordered(
    items: Sequence[Any], order: Sequence[Any], live: Sequence[Any], identity: Callable[[Any], Any]
) -> list[Any]:
    """The items of the patch in its order, the others in theirs; on a tie the patch's come first.

    The two sequences are merged: the next item of the server's own goes first only if it stood before the
    next item of the patch in the live list.
    """
    rank = {identity(entry): at for at, entry in enumerate(order)}
    mine = sorted((item for item in items if identity(item) in rank), key=lambda item: rank[identity(item)])
    others = [item for item in items if identity(item) not in rank]
    place = {identity(item): at for at, item in reversed([*enumerate(live)])}
    out: list[Any] = []
    m = o = 0
    while m < len(mine) and o < len(others):
        mine_at, other_at = place.get(identity(mine[m])), place.get(identity(others[o]))
        if mine_at is not None and other_at is not None and other_at < mine_at:
            out.append(others[o])
            o += 1
        else:
            out.append(mine[m])
            m += 1
    return [*out, *mine[m:], *others[o:]]


def _plain(value: Json) -> Json:
    """A patch's map as plain content."""
    return {
        key: _content(child)
        for key, child in value.items()
        if not (key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE)))
    }


def _content(value: Any) -> Any:
    """A patch's value as plain content."""
    if isinstance(value, dict):
        return _plain(value)
    return [_content(item) for item in value] if isinstance(value, list) else value


def go_text(value: Any) -> str:
    """A value as Go's %v prints it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
