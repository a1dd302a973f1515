"""Sets of field paths in the form of `fieldsV1`: nested maps by path element.

A path element is `f:NAME`, `k:{"key":…}` (keys of a list map), `v:VALUE` (member of a set) or `i:INDEX`.
The key `.` marks that the path up to here is itself a member.
Source: structured-merge-diff, `fieldpath`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

FieldSet = dict[str, Any]  # path element -> FieldSet; "." -> {}
Path = tuple[str, ...]

MEMBER = "."


def leaf() -> FieldSet:
    """The set that holds exactly the path where it stands."""
    return {MEMBER: {}}


def loaded(fields: Mapping[str, Any] | None) -> FieldSet:
    """A set from `fieldsV1`, where an empty map means a member."""
    return {
        element: {} if element == MEMBER else (loaded(below) if below else leaf())
        for element, below in (fields or {}).items()
    }


def dumped(fields: FieldSet) -> FieldSet:
    """The `fieldsV1` of a set, sorted."""
    out: FieldSet = {}
    for element in sorted(fields):
        if element == MEMBER:
            out[MEMBER] = {}
            continue
        below = dumped(fields[element])
        out[element] = {} if list(below) == [MEMBER] else below
    return out


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in either."""
    if not left or not right:
        return left or right
    out = dict(left)
    for element, below in right.items():
        out[element] = union(out[element], below) if element in out and element != MEMBER else below
    return out


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in both."""
    out: FieldSet = {}
    for element, below in left.items():
        if element not in right:
            continue
        if element == MEMBER:
            out[MEMBER] = {}
        elif shared := intersection(below, right[element]):
            out[element] = shared
    return out


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in the first only; a member of the second does not take what is below it."""
    if not right:
        return left
    out: FieldSet = {}
    for element, below in left.items():
        if element not in right:
            out[element] = below
        elif element != MEMBER and (rest := difference(below, right[element])):
            out[element] = rest
    return out


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths in the first that are neither in the second nor below a member of it."""
    out: FieldSet = {}
    for element, below in left.items():
        if element not in right:
            out[element] = below
        elif element != MEMBER and MEMBER not in right[element]:
            rest = recursive_difference(below, right[element])
            out.update({element: rest} if rest else {})
    return out


def paths(fields: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """Every member; at each level leaves come before deeper paths, both in order."""
    elements = sorted(element for element in fields if element != MEMBER)
    for element in elements:
        if MEMBER in fields[element]:
            yield (*prefix, element)
    for element in elements:
        below = {key: value for key, value in fields[element].items() if key != MEMBER}
        if below:
            yield from paths(below, (*prefix, element))


def shown(path: Path) -> str:
    """A path as messages print it: `.spec.ports[name="http"].port`."""
    return "".join(_shown(element) for element in path)


def _shown(element: str) -> str:
    kind, _, value = element.partition(":")
    match kind:
        case "f":
            return f".{value}"
        case "k":
            keys = orjson.loads(value)
            return "[" + ",".join(f"{key}={orjson.dumps(keys[key]).decode()}" for key in sorted(keys)) + "]"
        case "v":
            return f"[={value}]"
    return f"[{value}]"
