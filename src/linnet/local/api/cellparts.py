"""What the cells of many tables have in common."""

from collections.abc import Iterable
from typing import Any

from linnet.local.api import ages, selectors

Json = dict[str, Any]

NONE = "<none>"


def dig(obj: Any, *path: str, default: Any = None) -> Any:
    """The value at a path of field names."""
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
        if obj is None:
            return default
    return obj


def age(obj: Json) -> str:
    return ages.since(dig(obj, "metadata", "creationTimestamp"))


def selector(of: Json | None) -> str:
    return selectors.query(of) or NONE


def labels(of: Json | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((of or {}).items())) or NONE


def limited(values: Iterable[str], most: int = 3) -> str:
    """`a,b,c + 2 more...`."""
    found = list(values)
    shown = ",".join(found[:most])
    return f"{shown} + {len(found) - most} more..." if len(found) > most else shown


def template(obj: Json) -> tuple[str, str]:
    """The names and images of the containers of a pod template."""
    listed = dig(obj, "spec", "template", "spec", "containers", default=[])
    return ",".join(one["name"] for one in listed), ",".join(one.get("image", "") for one in listed)
