"""What Kubernetes refuses in the metadata of any object.

Source: Kubernetes, `apimachinery/pkg/api/validation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.local.api import names
from linnet.local.api.causes import Cause, forbidden, invalid, required, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Json = dict[str, Any]

_MOST_ANNOTATIONS = 256 * 1024  # bytes of all keys and values
_RBAC = "rbac.authorization.k8s.io"


def name_rule(group: str, kind: str) -> Callable[[str], list[str]]:
    """The syntax of the names of a kind."""
    if group == _RBAC:
        return names.path_segment
    if group == "" and kind == "Namespace":
        return names.dns_label
    if group == "" and kind == "Service":
        return names.dns_label_1035
    return names.dns_subdomain


def metadata(group: str, kind: str, obj: Json, path: str = "metadata") -> list[Cause]:
    """Violations in an object's metadata."""
    meta = obj.get("metadata") or {}
    rule = name_rule(group, kind)
    found: list[Cause] = []
    if meta.get("generateName"):
        prefix = meta["generateName"]
        # what is appended makes a trailing dash or dot valid
        found += [
            invalid(f"{path}.generateName", prefix, why)
            for why in rule(prefix.rstrip("-.") + "a" if prefix else "")
        ]
    name = meta.get("name") or ""
    if name:
        found += [invalid(f"{path}.name", name, why) for why in rule(name)]
    elif not meta.get("generateName"):
        found.append(required(f"{path}.name", "name or generateName is required"))
    found += labels(meta.get("labels"), f"{path}.labels")
    found += annotation_map(meta.get("annotations"), f"{path}.annotations")
    found += _owners(meta.get("ownerReferences") or (), f"{path}.ownerReferences")
    for finalizer in meta.get("finalizers") or ():
        found += [invalid(f"{path}.finalizers", finalizer, why) for why in names.qualified(finalizer)]
        if "/" not in finalizer and finalizer not in ("kubernetes", "orphan", "foregroundDeletion"):
            why = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(invalid(f"{path}.finalizers", finalizer, why))
    return found


def labels(given: Json | None, path: str) -> list[Cause]:
    """Violations in labels; the path names the map."""
    found: list[Cause] = []
    for key, value in sorted((given or {}).items()):
        found += [invalid(path, key, why) for why in names.qualified(key)]
        found += [invalid(path, value, why) for why in names.label_value(value)]
    return found


def annotation_map(given: Json | None, path: str) -> list[Cause]:
    """Violations in annotations."""
    found: list[Cause] = []
    size = 0
    for key, value in sorted((given or {}).items()):
        found += [invalid(path, key, why) for why in names.qualified(key.lower())]
        size += len(key) + len(value)
    if size > _MOST_ANNOTATIONS:
        found.append(too_long(path, _MOST_ANNOTATIONS))
    return found


def _owners(owners: Iterable[Json], path: str) -> list[Cause]:
    found: list[Cause] = []
    controllers = 0
    for at, owner in enumerate(owners):
        found += [
            invalid(f"{path}[{at}].{field}", owner.get(field) or "", "must not be empty")
            for field in ("apiVersion", "kind", "name", "uid")
            if not owner.get(field)
        ]
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        why = "Only one reference can have Controller set to true."
        found.append(invalid(path, list(owners), why))
    return found


def selector(given: Json | None, path: str) -> list[Cause]:
    """Violations in a LabelSelector."""
    found = labels((given or {}).get("matchLabels"), f"{path}.matchLabels")
    for at, entry in enumerate((given or {}).get("matchExpressions") or ()):
        place = f"{path}.matchExpressions[{at}]"
        operator, values = entry.get("operator"), entry.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                found.append(
                    required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
                )
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(forbidden(f"{place}.values", why))
        else:
            found.append(invalid(f"{place}.operator", operator or "", "not a valid selector operator"))
        key = entry.get("key") or ""
        found += [invalid(f"{place}.key", key, why) for why in names.qualified(key)]
        for index, value in enumerate(values):
            found += [invalid(f"{place}.values[{index}]", value, why) for why in names.label_value(value)]
    return found
