"""What a configuration for server-side apply must not contain: undeclared fields, wrong types, duplicates.

Source: structured-merge-diff, `typed/validate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from linnet.local.api.typed import elements, field, shape

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]


class Untypable(ValueError):
    """A value that the schema does not allow, as structured-merge-diff says it."""


def check(node: Node | None, value: Any) -> None:
    """Refuses what a configuration must not contain: undeclared fields, wrong types, duplicate items.

    Raises: Untypable with every problem.
    """
    problems = _problems(node, value, "")
    if len(problems) == 1:
        raise Untypable(problems[0])
    if problems:
        raise Untypable("errors:\n" + "\n".join(f"  {problem}" for problem in problems))


_GO_TYPES = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}


def _problems(node: Node | None, value: Any, path: str) -> list[str]:
    if node is None or value is None:
        return []
    if problem := _wrong_type(node, value):
        return [f"{path}: {problem}"]
    if isinstance(value, dict):
        return _problems_in_map(node, value, path)
    if not isinstance(value, list):
        return []
    found: list[str] = []
    form = shape(node, value)
    seen: set[str] = set()
    for at, item in enumerate(value):
        element = f"i:{at}" if form == "leaf" else elements(node, form, [item])[0][0]
        place = _place(element)
        if element in seen:
            found.append(f"{path}: duplicate entries for key {place}")
        seen.add(element)
        found += _problems(node.items, item, path + place)
    return found


def _problems_in_map(node: Node, value: Json, path: str) -> list[str]:
    found: list[str] = []
    closed = bool(node.fields) and node.values is None and not node.preserves
    closed = closed and node.raw.get("additionalProperties") is not True
    for name, child in value.items():
        below, declared = field(node, name)
        if closed and not declared:
            if node.custom and (not path or node.embedded) and name in ("apiVersion", "kind", "metadata"):
                continue
            found.append(f"{path}.{name}: field not declared in schema")
        else:
            found += _problems(below, child, f"{path}.{name}")
    return found


def _place(element: str) -> str:
    kind, _, text = element.partition(":")
    if kind == "k":
        keys = orjson.loads(text)
        return "[" + ",".join(f"{key}={orjson.dumps(keys[key]).decode()}" for key in sorted(keys)) + "]"
    return f"[={text}]" if kind == "v" else f"[{text}]"


def _wrong_type(node: Node, value: Any) -> str:
    """The complaint about a value of a wrong type, "" if it fits."""
    expected = _GO_TYPES.get(node.type)
    if expected is None or node.int_or_string or node.preserves or isinstance(value, expected):
        return ""
    if node.type == "integer" and isinstance(value, float) and value.is_integer():
        return ""
    wanted = {"object": "map", "array": "list", "integer": "numeric (int or float)"}.get(node.type, node.type)
    shown = "{" + f"Value:{value!r}" + "}" if isinstance(value, str) else f"{{{value}}}"
    return f"expected {wanted}, got &{shown}"
