"""CustomResourceDefinitions: how they are stored, and the resources that they serve.

Source: Kubernetes, `apiextensions-apiserver/pkg/controller/{status,establish}`, observed behaviour.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from linnet.local.api.copies import copied
from linnet.local.api.crdchecks import causes as causes

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

_NAMES_ACCEPTED = "NamesAccepted"
_ESTABLISHED = "Established"
_OPEN_SCHEMA: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STABILITY = {"": 2, "beta": 1, "alpha": 0}


class Scale(msgspec.Struct, frozen=True):
    """The JSON paths of a scale subresource, split into field names."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    label_selector: tuple[str, ...]  # () if there is none


class Column(msgspec.Struct, frozen=True):
    """One printer column."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


class Served(msgspec.Struct, frozen=True):
    """One served version of a CRD: what registry, discovery and tables need."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    schema: Json
    columns: tuple[Column, ...]  # without NAME; the default AGE column where none are declared
    status: bool
    scale: Scale | None
    selectable: tuple[str, ...]  # "spec.size"
    deprecation: str  # the text of the warning, "" if not deprecated
    storage: bool


_AGE = Column(
    name="Age",
    type="date",
    json_path=".metadata.creationTimestamp",
    description="When the object was created, by the clock of the server.",
)


def prepared(crd: Json, old: Json | None, *, now: str, others: Iterable[Json] = ()) -> Json:
    """A CRD as it is stored: accepted names, conditions, stored versions. `crd` has its defaults.

    `others` are the stored CRDs, whose accepted names are taken.
    """
    out = copied(crd)
    spec = out["spec"]
    status: Json = copied((old or {}).get("status") or {})
    accepted, reason, message = _accepted_names(out, others)
    status["acceptedNames"] = accepted
    status["conditions"] = _conditions(status.get("conditions") or [], reason, message, now)
    stored = list(status.get("storedVersions") or [])
    for version in spec.get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version["name"])
    status["storedVersions"] = stored
    out["status"] = status
    return out


def established(crd: Json) -> bool:
    """Whether the resources of a stored CRD are served."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == _ESTABLISHED and entry["status"] == "True" for entry in conditions)


def _accepted_names(crd: Json, others: Iterable[Json]) -> tuple[Json, str, str]:
    """The names that no other CRD of the group has, and why one was refused ("" if none was)."""
    spec = crd["spec"]
    names: Json = spec.get("names") or {}
    taken_plurals: set[str] = set()
    taken_kinds: set[str] = set()
    for other in others:
        if other["spec"]["group"] != spec.get("group") or other["metadata"]["name"] == crd["metadata"].get(
            "name"
        ):
            continue
        theirs = (other.get("status") or {}).get("acceptedNames") or {}
        taken_plurals |= {
            theirs.get("plural", ""),
            theirs.get("singular", ""),
            *(theirs.get("shortNames") or ()),
        }
        taken_kinds |= {theirs.get("kind", ""), theirs.get("listKind", "")}
    taken_plurals.discard("")
    taken_kinds.discard("")
    accepted: Json = {}
    reason = message = ""
    for field, label, taken in (
        ("plural", "PluralConflict", taken_plurals),
        ("singular", "SingularConflict", taken_plurals),
        ("shortNames", "ShortNamesConflict", taken_plurals),
        ("kind", "KindConflict", taken_kinds),
        ("listKind", "ListKindConflict", taken_kinds),
    ):
        given = names.get(field)
        clashes = [name for name in (given if isinstance(given, list) else [given]) if name in taken]
        if clashes:
            reason, message = label, ", ".join(f'"{name}" is already in use' for name in clashes)
        elif given is not None:
            accepted[field] = given
    if names.get("categories"):
        accepted["categories"] = names["categories"]
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    return accepted, reason, message


def _conditions(existing: list[Json], reason: str, message: str, now: str) -> list[Json]:
    """The conditions after looking at the names; transition times move only when a status does."""
    by_type = {entry["type"]: entry for entry in existing}
    was_established = by_type.get(_ESTABLISHED, {}).get("status") == "True"
    if reason:
        wanted = [(_NAMES_ACCEPTED, "False", reason, message)]
        if not was_established:
            wanted.append((_ESTABLISHED, "False", "NotAccepted", "not all names are accepted"))
    else:
        wanted = [
            (_NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found"),
            (_ESTABLISHED, "True", "InitialNamesAccepted", "the initial names have been accepted"),
        ]
    for kind, status, why, text in wanted:
        before = by_type.get(kind)
        if before and before["status"] == status and before.get("reason") == why:
            continue
        by_type[kind] = {
            "type": kind,
            "status": status,
            "lastTransitionTime": now,
            "reason": why,
            "message": text,
        }
    return list(by_type.values())


def _priority(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v1beta2, v1alpha1, then names."""
    matched = _VERSION.fullmatch(version)
    if not matched:
        return (1, 0, 0, version)
    stability = _STABILITY[matched[2] or ""]
    return (0, -stability, -(int(matched[1]) * 10_000 + int(matched[3] or 0)), version)


def served(crd: Json) -> tuple[Served, ...]:
    """The versions that a stored CRD serves, most preferred first; none before its names are accepted."""
    if not established(crd):
        return ()
    spec = crd["spec"]
    versions = sorted(
        (version for version in spec["versions"] if version.get("served")),
        key=lambda version: _priority(version["name"]),
    )
    return tuple(_served(crd, version) for version in versions)


def _served(crd: Json, version: Json) -> Served:
    spec = crd["spec"]
    names = spec["names"]
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale")
    columns = version.get("additionalPrinterColumns")
    return Served(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        kind=names["kind"],
        list_kind=names.get("listKind") or f"{names['kind']}List",
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        schema=(version.get("schema") or {}).get("openAPIV3Schema") or _OPEN_SCHEMA,
        columns=tuple(_column(column) for column in columns) if columns else (_AGE,),
        status="status" in subresources,
        scale=_scale(scale) if scale else None,
        selectable=tuple(
            entry["jsonPath"].removeprefix(".") for entry in version.get("selectableFields") or ()
        ),
        deprecation=_deprecation(spec, version),
        storage=bool(version.get("storage")),
    )


def _scale(scale: Json) -> Scale:
    return Scale(
        spec_replicas=_path(scale["specReplicasPath"]),
        status_replicas=_path(scale["statusReplicasPath"]),
        label_selector=_path(scale.get("labelSelectorPath") or ""),
    )


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.removeprefix(".").split(".")) if text else ()


def _column(column: Json) -> Column:
    return Column(
        name=column["name"],
        type=column["type"],
        json_path=column["jsonPath"],
        format=column.get("format") or "",
        description=column.get("description")
        or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}",
        priority=column.get("priority") or 0,
    )


def _deprecation(spec: Json, version: Json) -> str:
    """The warning about a deprecated version, which names a better one where there is one."""
    if not version.get("deprecated"):
        return ""
    if text := version.get("deprecationWarning"):
        return str(text)
    kind, group = spec["names"]["kind"], spec["group"]
    warning = f"{group}/{version['name']} {kind} is deprecated"
    better = [
        other["name"] for other in spec["versions"] if other.get("served") and not other.get("deprecated")
    ]
    better = sorted((name for name in better if _priority(name) < _priority(version["name"])), key=_priority)
    return f"{warning}; use {group}/{better[0]} {kind}" if better else warning
