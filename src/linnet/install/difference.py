"""What differs between two trees of plain values, path by path, in few lines (pure)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.tree import Tree

LONG = 80  # characters of a value that are shown
_MISSING = object()


class Difference(Struct, frozen=True, order=True):
    """One path at which two trees differ. `old` or `new` is None where the path is missing (or null)."""

    path: str
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        """`~ path: old → new`, `+ path: new` or `- path: old`."""
        if self.old is None:
            return f"+ {self.path}: {_short(self.new)}"
        if self.new is None:
            return f"- {self.path}: {_short(self.old)}"
        return f"~ {self.path}: {_short(self.old)} → {_short(self.new)}"


def differences(old: Any, new: Any) -> list[Difference]:
    """Where two trees differ, in the order of the paths. Lists of named items are compared by name."""
    return list(_walk("", old, new))


def _walk(path: str, old: Any, new: Any) -> Iterator[Difference]:
    old, new = _readable(old), _readable(new)
    if old == new:
        return
    if not path:
        old, new = old or {}, new or {}
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}, key=str):
            yield from _walk(f"{path}.{key}" if path else str(key), old.get(key), new.get(key))
        return
    if _plain(old) and _plain(new):
        old, new = [item for item in old if item not in new], [item for item in new if item not in old]
        yield Difference(path, old or None, new or None)
        return
    if key := _key(old, new):
        first = {str(item[key]): item for item in old or ()}
        second = {str(item[key]): item for item in new or ()}
        for name in dict.fromkeys((*first, *second)):
            yield from _walk(f"{path}[{name}]", first.get(name), second.get(name))
        return
    yield Difference(path, old, new)


def _readable(value: Any) -> Any:
    """JSON inside a string (`PROXY_CONFIG`, annotations) as what it says; empty values as nothing."""
    if isinstance(value, str) and value[:1] in "{[" and len(value) > 1:
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return value
    return None if value in ({}, [], "") else value


def _plain(value: Any) -> bool:
    """A list of scalars: only those that differ are worth a word."""
    return isinstance(value, list) and not any(isinstance(item, Mapping | list) for item in value)


def _key(*lists: Any) -> str:
    """The field that names each item of the lists, and no two alike; empty: there is none."""
    if not any(isinstance(items, list) for items in lists):
        return ""
    for key in ("name", "containerPort", "mountPath"):
        if all(_named_by(key, items) for items in lists if items is not None):
            return key
    return ""


def _named_by(key: str, items: Any) -> bool:
    if not isinstance(items, list) or not all(isinstance(item, Mapping) and key in item for item in items):
        return False
    return len({str(item[key]) for item in items}) == len(items)


def _short(value: Any) -> str:
    if _plain(value):
        return " ".join(_short(item) for item in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= LONG else text[: LONG - 1] + "…"


def edits(rendered: Mapping[str, Any], live: Mapping[str, Any], *, skip: Sequence[str] = ()) -> Tree:
    """What to lay over `rendered` to get `live`; None where a key is gone. `skip` names top-level keys."""
    found: Tree = {}
    for key in {**rendered, **live}:
        before, after = rendered.get(key, _MISSING), live.get(key, _MISSING)
        if key in skip or before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            if inner := edits(before, after):
                found[key] = inner
        else:
            found[key] = None if after is _MISSING else after
    return found
