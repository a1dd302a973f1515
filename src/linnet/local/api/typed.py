"""Walks over values along a schema: which fields they set, how they merge, how they differ.

A null node stands for an undeclared place: maps are granular there, lists atomic.
Source: structured-merge-diff, `typed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import orjson

from linnet.local.api.fieldsets import MEMBER, FieldSet, leaf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linnet.local.api.schemas import Node

Json = dict[str, Any]
Shape = Literal["leaf", "map", "list", "set"]

ABSENT: Final = object()

# The only default of a built-in list-map key; OpenAPI does not tell it.
_KEY_DEFAULTS = {"protocol": "TCP"}
# Go structs that are no pointers: a typed server always has them, if only empty.
_ALWAYS_THERE = frozenset(
    [
        "metadata",
        "spec",
        "status",
        "template",
        "strategy",
        "updateStrategy",
        "resources",
        "loadBalancer",
        "scaleTargetRef",
        "roleRef",
        "clientConfig",
        "names",
        "involvedObject",
        "state",
        "lastState",
        "source",
    ]
)
# Go lists and pointers that are written as null when unset.
_NULL_IF_UNSET = frozenset(["containers", "selector", "endpoints", "webhooks", "rules", "versions"])


class Comparison(NamedTuple):
    """How a second value differs from a first one."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet


def shape(node: Node | None, value: Any) -> Shape:
    """How a value is walked: as a unit, by key, as a list of keyed items, or as a set of scalars."""
    if isinstance(value, dict):
        return "leaf" if node and node.atomic_map else "map"
    if isinstance(value, list) and node and node.list_type in ("map", "set"):
        return "list" if node.list_type == "map" else "set"
    return "leaf"


def field(node: Node | None, name: str) -> tuple[Node | None, bool]:
    """The node of a field or key, and whether it is a declared field of a struct."""
    if node is None:
        return None, False
    declared = node.fields.get(name)
    return (declared, True) if declared is not None else (node.values, False)


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def key_of(node: Node, item: Any) -> str:
    """The path element of an item of a list map."""
    keys: Json = {}
    fields = node.items.fields if node.items else {}
    for name in node.map_keys:
        value = item.get(name) if isinstance(item, dict) else None
        if value is None:
            declared = fields.get(name)
            value = declared.raw.get("default") if declared else None
            if value is None and not node.custom:
                value = _KEY_DEFAULTS.get(name)
        if value is not None:
            keys[name] = _number(value)
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def elements(node: Node | None, form: Shape, values: Sequence[Any]) -> list[tuple[str, Any]]:
    """The items of an associative list with their path elements, in order."""
    if form == "list" and node is not None:
        return [(key_of(node, item), item) for item in values]
    return [("v:" + orjson.dumps(item).decode(), item) for item in values]


def _item_node(node: Node | None, form: Shape) -> Node | None:
    return node.items if node is not None and form == "list" else None


def fields_of(node: Node | None, value: Any) -> FieldSet:
    """The fields that a configuration sets (without those that only lie on the way)."""
    match shape(node, value):
        case "leaf":
            return {} if value is None else leaf()
        case "map":
            return _fields_of_map(node, value)
        case form:
            return _fields_of_list(node, form, value)


def _fields_of_map(node: Node | None, value: Json) -> FieldSet:
    out: FieldSet = {}
    for name, child in value.items():
        below, declared = field(node, name)
        found = fields_of(below, child)
        if not declared or child is None or child == {}:
            found = {MEMBER: {}, **found}
        if found:
            out[f"f:{name}"] = found
    return out


def _fields_of_list(node: Node | None, form: Shape, value: list[Any]) -> FieldSet:
    below = _item_node(node, form)
    out: FieldSet = {}
    for element, item in elements(node, form, value):
        # an item that is there twice is owned as a whole
        out[element] = leaf() if element in out else {MEMBER: {}, **fields_of(below, item)}
    return out


def merged(node: Node | None, live: Any, config: Any) -> Any:
    """The live value with the configuration laid over it; order of lists as structured-merge-diff has it."""
    if live is ABSENT or live is None:
        return config
    if config is ABSENT:
        return live
    form = shape(node, config)
    if config is None and shape(node, live) != "leaf":
        return live  # a null container says nothing
    if config is None or type(live) is not type(config) or form == "leaf":
        return config
    if form == "map":
        out = dict(live)
        for name, value in config.items():
            out[name] = merged(field(node, name)[0], live.get(name, ABSENT), value)
        return out
    return _merged_list(node, form, live, config)


def _merged_list(node: Node | None, form: Shape, live: list[Any], config: list[Any]) -> list[Any]:
    left, right = elements(node, form, live), elements(node, form, config)
    in_left: dict[str, Any] = {}
    for element, item in left:
        in_left.setdefault(element, item)
    in_right = dict(right)
    below = _item_node(node, form)
    shared = [element for element, _ in right if element in in_left]
    out: list[Any] = []
    done: set[str] = set()
    s = i = j = 0
    while i < len(left) or j < len(right):
        wanted = shared[s] if s < len(shared) else None
        if i < len(left) and j < len(right):
            if left[i][0] == right[j][0]:
                out.append(merged(below, left[i][1], right[j][1]))
                done.add(left[i][0])
                i, j, s = i + 1, j + 1, s + 1
                continue
            if left[i][0] in in_right and wanted is not None and wanted != left[i][0]:
                i += 1  # it comes later, where the configuration has it
                continue
        if i < len(left) and (left[i][0] not in in_right or left[i][0] in done):
            if left[i][0] not in in_right:
                out.append(left[i][1])
            i += 1
            continue
        if j < len(right):
            element, item = right[j]
            done.add(element)
            out.append(merged(below, in_left.get(element, ABSENT), item))
            j += 1
            s += wanted == element
    return out


class _Comparing:
    """Collects the three sets of a comparison while it walks."""

    def __init__(self) -> None:
        self.added: FieldSet = {}
        self.modified: FieldSet = {}
        self.removed: FieldSet = {}

    def below(self, element: str, child: _Comparing) -> None:
        for mine, found in (
            (self.added, child.added),
            (self.modified, child.modified),
            (self.removed, child.removed),
        ):
            if found:
                mine[element] = found

    def whole(self, before: Any, after: Any) -> None:
        """The place as a unit."""
        if before is ABSENT:
            self.added[MEMBER] = {}
        elif after is ABSENT:
            self.removed[MEMBER] = {}
        elif not _same(before, after):
            self.modified[MEMBER] = {}


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def compared(node: Node | None, before: Any, after: Any) -> Comparison:
    """What was added, modified and removed between two values."""
    walk = _Comparing()
    _compare(walk, node, before, after)
    return Comparison(walk.added, walk.modified, walk.removed)


def _compare(out: _Comparing, node: Node | None, before: Any, after: Any) -> None:
    if before is not ABSENT and after is not ABSENT and type(before) is type(after) and before == after:
        return
    forms = [shape(node, value) if isinstance(value, dict | list) else None for value in (before, after)]
    form = forms[1] or forms[0] or "leaf"
    if forms[0] and forms[1] and forms[0] != forms[1]:
        _descend(out, node, forms[0], before, ABSENT)
        _descend(out, node, forms[1], ABSENT, after)
        return
    scalar = any(
        value is not ABSENT and value is not None and not isinstance(value, dict | list)
        for value in (before, after)
    )
    if form == "leaf" or scalar or not (_filled(before) or _filled(after)):
        out.whole(before, after)
        return
    _descend(out, node, form, before, after)
    if before is ABSENT:
        out.added[MEMBER] = {}
    elif after is ABSENT:
        out.removed[MEMBER] = {}


def _filled(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _descend(out: _Comparing, node: Node | None, form: Shape, before: Any, after: Any) -> None:
    if form == "map":
        _compare_maps(out, node, before, after)
    elif form == "leaf":
        out.whole(before, after)
    else:
        _compare_lists(
            out,
            node,
            form,
            before if isinstance(before, list) else [],
            after if isinstance(after, list) else [],
        )


def _compare_maps(out: _Comparing, node: Node | None, before: Any, after: Any) -> None:
    """Compare by field; a side that is absent or null has none."""
    typed = node is not None and not node.custom
    left = before if isinstance(before, dict) else {}
    right = after if isinstance(after, dict) else {}
    for name in {**left, **right}:
        old, new = left.get(name, ABSENT), right.get(name, ABSENT)
        below, declared = field(node, name)
        if typed and declared:
            if old is ABSENT and isinstance(before, dict):
                old = unset(name, new)
            elif new is ABSENT and isinstance(after, dict):
                new = unset(name, old)
        child = _Comparing()
        _compare(child, below, old, new)
        out.below(f"f:{name}", child)


def unset(name: str, other: Any) -> Any:
    """What a typed server holds in a field that JSON leaves out."""
    if name in _ALWAYS_THERE and isinstance(other, dict):
        return {}
    return None if name in _NULL_IF_UNSET else ABSENT


def _compare_lists(
    out: _Comparing, node: Node | None, form: Shape, before: list[Any], after: list[Any]
) -> None:
    below = _item_node(node, form)
    left: dict[str, list[Any]] = {}
    right: dict[str, list[Any]] = {}
    for grouped, values in ((left, before), (right, after)):
        for element, item in elements(node, form, values):
            grouped.setdefault(element, []).append(item)
    for element in {**left, **right}:
        mine, theirs = left.get(element, []), right.get(element, [])
        child = _Comparing()
        if len(mine) <= 1 and len(theirs) <= 1:
            _compare(child, below, mine[0] if mine else ABSENT, theirs[0] if theirs else ABSENT)
        elif mine != theirs:  # duplicates count as a whole
            child.whole(mine or ABSENT, theirs or ABSENT)
            if len(mine) == 1 and form == "list":
                child.removed = fields_of(below, mine[0])
        out.below(element, child)


def with_named(node: Node | None, fields: FieldSet) -> FieldSet:
    """The set with every declared struct field on the way of a path as a member too."""
    out: FieldSet = {}
    for element, below in fields.items():
        if element == MEMBER:
            out[MEMBER] = {}
            continue
        if element.startswith("f:"):
            child, declared = field(node, element[2:])
        else:
            child, declared = (node.items if node else None), False
        deeper = with_named(child, below)
        out[element] = {MEMBER: {}, **deeper} if declared else deeper
    return out


def without(node: Node | None, value: Any, fields: FieldSet) -> Any:
    """The value without the members of the set; None for a container that becomes empty."""
    form = shape(node, value)
    if form == "leaf":
        return value
    if form == "map":
        kept: Json = {}
        for name, child in value.items():
            gone = fields.get(f"f:{name}")
            if gone is None:
                kept[name] = child
            elif MEMBER not in gone:
                kept[name] = without(field(node, name)[0], child, gone)
        return kept or None
    below = _item_node(node, form)
    items = []
    for element, item in elements(node, form, value):
        gone = fields.get(element)
        if gone is None:
            items.append(item)
        elif MEMBER not in gone:
            items.append(without(below, item, gone))
    return items or None
