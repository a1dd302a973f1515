"""Objects as a Table: what `kubectl get` prints.

Source: the columns of a kube-apiserver v1.35.4 (`data/columns.json.gz`).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import orjson

from linnet.local.api import ages, cells
from linnet.local.api.cellparts import dig
from linnet.local.api.crds import Column
from linnet.local.api.definitions import packed
from linnet.local.api.registry import Resource

Json = dict[str, Any]

_NAME_LAST = frozenset({"events", "events.k8s.io/events"})
_CUSTOM_NAME: Json = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace. Is required when creating resources, although "
    "some resources may allow a client to request the generation of an appropriate name automatically. "
    "Name is primarily intended for creation idempotence and configuration definition. "
    "Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    "priority": 0,
}
# .a.b, ['c.d'], [0], [*], [?(@.type=="Ready")]
_STEP = re.compile(
    r"\.((?:[A-Za-z0-9_\-/]|\\\.)+)|\['([^']+)'\]|\[\"([^\"]+)\"\]|\[(\d+|\*)\]|"
    r"\[\?\(@\.([\w.]+)\s*==\s*[\"']([^\"']*)[\"']\)\]"
)


def of(
    resource: Resource,
    objects: Sequence[Json],
    metadata: Json,
    include: str,
    version: str,
    *,
    header: bool = True,
) -> Json:
    """A Table of objects; `include` is None, Metadata or Object, `header` says whether it defines columns."""
    row = _cells_of(resource)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": columns(resource) if header else None,
        "rows": [_row(obj, row(obj), include, version) for obj in objects],
    }


def empty(resource: Resource, metadata: Json, version: str, obj: Json) -> Json:
    """The Table of a bookmark."""
    del resource
    row = {"cells": [], "object": {**obj, "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}}
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "columnDefinitions": None,
        "rows": [row],
    }


def of_scale(scale: Json, version: str) -> Json:
    """The Table of a Scale."""
    metadata = scale["metadata"]
    counts = [scale["spec"].get("replicas", 0), scale["status"].get("replicas", 0)]
    made = ages.since(metadata.get("creationTimestamp"))
    definitions = [
        {**_CUSTOM_NAME},
        _plain("Desired", "integer", "Number of desired pods for the scale target."),
        _plain("Available", "integer", "Number of observed instances of the scale target."),
        _plain("Age", "string", "When the scale target was created."),
    ]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {"resourceVersion": metadata.get("resourceVersion", "")},
        "columnDefinitions": definitions,
        "rows": [_row(scale, [metadata["name"], *counts, made], "Metadata", version)],
    }


def columns(resource: Resource) -> list[Json]:
    """The column definitions of a resource."""
    if resource.custom is not None:
        return [_CUSTOM_NAME, *(_definition(column) for column in resource.custom.columns)]
    group = resource.group or "core"
    tables = _recorded()
    known = tables["tables"].get(f"{group}/{resource.version}/{resource.plural}")
    if known is None:
        return [_CUSTOM_NAME, _plain("Age", "string", "")]
    return [tables["columns"][at] for at in known]


@cache
def _recorded() -> Json:
    loaded: Json = packed("columns.json.gz")
    return loaded


def _cells_of(resource: Resource) -> Callable[[Json], list[Any]]:
    """The function that fills a row."""
    if resource.custom is not None:
        declared = resource.custom.columns
        return lambda obj: [obj["metadata"]["name"], *(_custom(column, obj) for column in declared)]
    fill = cells.OF.get(resource.name)
    if fill is None:
        names = [column["name"] for column in columns(resource)[1:]]
        return lambda obj: [obj["metadata"]["name"], *cells.generic(obj, names)]
    if resource.name in _NAME_LAST:
        return fill
    return lambda obj: [obj["metadata"]["name"], *fill(obj)]


def _row(obj: Json, filled: list[Any], include: str, version: str) -> Json:
    row: Json = {"cells": filled}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": obj["metadata"],
        }
    return row


def _plain(name: str, kind: str, description: str) -> Json:
    return {"name": name, "type": kind, "format": "", "description": description, "priority": 0}


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description
        or f"Custom resource definition column (in JSONPath format): {column.json_path}",
        "priority": column.priority,
    }


def _custom(column: Column, obj: Json) -> Any:
    """A cell of a custom resource."""
    found = list(at_path(column.json_path, obj))
    if not found:
        return None
    first = found[0]
    if column.type == "date":
        return ages.since(first) if isinstance(first, str) else "<unknown>"
    if column.type != "string":
        return first
    if isinstance(first, str) and len(found) == 1:
        return first
    return ",".join(one if isinstance(one, str) else orjson.dumps(one).decode() for one in found)


def at_path(path: str, obj: Any) -> Iterator[Any]:
    """What the small JSONPath of printer columns finds."""
    found = [obj]
    for step in _STEP.finditer(path):
        field, single, double, index, key, value = step.groups()
        name = field or single or double
        if name:
            name = name.replace("\\.", ".")
            found = [one[name] for one in found if isinstance(one, dict) and name in one]
        elif index:
            lists = [one for one in found if isinstance(one, list)]
            found = [part for one in lists for part in (one if index == "*" else one[int(index) :][:1])]
        else:
            lists = [one for one in found if isinstance(one, list)]
            found = [part for one in lists for part in one if str(dig(part, *key.split("."))) == value]
    yield from found
