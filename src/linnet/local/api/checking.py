"""Whether an object may be stored as it is: the rules of its kind and of its schema."""

from typing import Any

from linnet.local.api import checks, crds, refusals, validation
from linnet.local.api.causes import Cause
from linnet.local.api.cluster import CRDS
from linnet.local.api.registry import Resource
from linnet.local.api.schemas import Node

Json = dict[str, Any]


def check(resource: Resource, node: Node | None, obj: Json, old: Json | None, subresource: str) -> None:
    """Refuse an object (`old` is None for a new one) with everything that is wrong.

    Raises: Refused 422.
    """
    found = checks.causes(
        resource.group,
        resource.kind,
        obj,
        old,
        namespaced=resource.namespaced,
        subresource=subresource,
    )
    if resource.custom is not None:
        found = _with_scale(resource, obj, [*found, *validation.causes(node, obj, old)])
    elif resource.bucket == CRDS and not subresource:
        found = [*found, *crds.causes(obj, old)]
    if found:
        raise refusals.invalid(resource, obj["metadata"].get("name", ""), found)


def _with_scale(resource: Resource, obj: Json, causes: list[Cause]) -> list[Cause]:
    """Add what is wrong at the path of the replicas; it stands before the note on rules left out."""
    scale = resource.custom.scale if resource.custom else None
    value: Any = obj if scale else None
    for name in scale.spec_replicas if scale else ():
        value = value.get(name) if isinstance(value, dict) else None
    if not causes or value is None or isinstance(value, int) or scale is None:
        return causes
    path = "." + ".".join(scale.spec_replicas)
    kind = {str: "string", float: "float64", bool: "bool"}.get(type(value), "map[string]interface {}")
    why = f"{path} accessor error: {value} is of the type {kind}, expected int64"
    at = next((n for n, cause in enumerate(causes) if cause.field == "<nil>"), len(causes))
    return [*causes[:at], Cause(path, "FieldValueInvalid", f"Invalid value: 0: {why}"), *causes[at:]]
