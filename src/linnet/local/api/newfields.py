"""What the creator of an object owns: the fields that a comparison with nothing finds, in one walk.

A create is the most frequent write by far; `typed.compared` would build three sets to fill one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.local.api.fieldsets import MEMBER
from linnet.local.api.typed import ABSENT, elements, field, shape, unset

if TYPE_CHECKING:
    from linnet.local.api.fieldsets import FieldSet
    from linnet.local.api.schemas import Node

Json = dict[str, Any]


def of_object(node: Node | None, obj: Json) -> FieldSet:
    """The `fieldsV1` of a whole object; its metadata is always there."""
    rest = {name: value for name, value in obj.items() if name != "metadata"}
    out = written(node, rest, {}) or {}
    metadata = written(field(node, "metadata")[0], obj["metadata"], {})
    if metadata is not None:
        out["f:metadata"] = metadata
    return dict(sorted(out.items()))


def written(node: Node | None, value: Any, before: Any = ABSENT) -> FieldSet | None:
    """The sorted `fieldsV1` of a value, None if it sets nothing.

    `before` is what a typed server holds there without it: ABSENT, None or an empty map.
    """
    if isinstance(value, dict):
        if value and not (node is not None and node.atomic_map):
            return _of_map(node, value, before)
        return None if before == value else {}
    if isinstance(value, list) and value and node is not None:
        form = shape(node, value)
        if form != "leaf":
            return _of_list(node, value, before)
    return {}


def _of_map(node: Node | None, value: Json, before: Any) -> FieldSet | None:
    there = isinstance(before, dict) and node is not None and not node.custom
    fields = node.fields if node is not None else {}
    values = node.values if node is not None else None
    out: FieldSet = {MEMBER: {}} if before is ABSENT else {}
    for name in sorted(value):
        child = value[name]
        below = fields.get(name)
        held: Any = ABSENT
        if below is None:
            below = values
        elif there:
            held = unset(name, child)
        if isinstance(child, dict | list):
            found = written(below, child, held)
        else:
            found = None if child is None and held is None else {}
        if found is not None:
            out["f:" + name] = found
    return out or None


def _of_list(node: Node, value: list[Any], before: Any) -> FieldSet | None:
    form = shape(node, value)
    below = node.items if form == "list" else None
    found: FieldSet = {}
    for element, item in elements(node, form, value):
        # an item that is there twice is owned as a whole
        found[element] = {} if element in found else written(below, item) or {}
    out: FieldSet = {MEMBER: {}} if before is ABSENT else {}
    for element in sorted(found):
        out[element] = found[element]
    return out
