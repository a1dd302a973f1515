"""Objects against schemas: unknown fields, wrong types, defaults and rules, with Kubernetes' texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from linnet.local.api import rules, structural
from linnet.local.api.causes import Cause
from linnet.local.api.decoding import Decoder
from linnet.local.api.decoding import WrongType as WrongType

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]

# After these kinds of violations the CEL rules are not evaluated.
_BLOCKING = frozenset(
    f"FieldValue{name}" for name in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid")
)
_NOT_CHECKED = Cause(
    "<nil>",
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
_MOST_REPLICAS = 2**31 - 1


class Pruned(msgspec.Struct, frozen=True):
    """An object without the fields that its schema does not know, and those fields' messages."""

    obj: Json
    unknown: tuple[str, ...]  # 'unknown field "spec.x"', as in warnings and strict decoding errors


def pruned(node: Node | None, obj: Json) -> Pruned:
    """The object as a typed server reads it. A node of None keeps everything.

    Raises: WrongType for built-ins, with the text that follows `cannot be handled as a KIND: `.
    """
    if node is None:
        return Pruned(obj, ())
    if node.custom:
        pruner = structural.Pruner()
        return Pruned(pruner.root(node, obj), tuple(pruner.unknown))
    decoder = Decoder()
    return Pruned(decoder.read(node, obj, "", "", ""), tuple(decoder.unknown))


def defaulted(node: Node | None, obj: Json) -> Json:
    """A custom object with the defaults of its structural schema; a built-in one as it is."""
    if node is None or not node.custom:
        return obj
    out: Json = structural.defaulted(node, obj)
    return out


def causes(
    node: Node | None, obj: Json, old: Json | None = None, *, scale: tuple[tuple[str, ...], ...] = ()
) -> list[Cause]:
    """What a custom object violates: structural schema, list types, then CEL rules. Empty for built-ins.

    `scale` holds the paths of the replica counts where the CRD has a scale subresource.
    """
    if node is None or not node.custom:
        return []
    found = rules.violations(node, obj, old)
    for path in scale:
        found += _bad_replicas(obj, path)
    found += rules.duplicates(node, obj)
    if not node.rules:
        return found
    if any(cause.reason in _BLOCKING for cause in found):
        return [*found, _NOT_CHECKED]
    import linnet.local.api.celrules as cel  # when a CRD has rules: the engine takes 0.13 s of CPU

    return [*found, *cel.violations(node, obj, old)]


def _bad_replicas(obj: Json, path: tuple[str, ...]) -> list[Cause]:
    """The replica count of a scale subresource must be a number of a pod count's range."""
    text = "." + ".".join(path)
    value: Any = obj
    for name in path:
        if not isinstance(value, dict):
            return []
        value = value.get(name)
    if value is None:
        return []
    if not isinstance(value, int) or isinstance(value, bool):
        kinds = {str: "string", bool: "bool", float: "float64", dict: "map[string]interface {}"}
        kind = kinds.get(type(value), "[]interface {}")
        why = f"{text} accessor error: {value} is of the type {kind}, expected int64"
        return [Cause(text, "FieldValueInvalid", f"Invalid value: 0: {why}")]
    if value < 0:
        why = "should be a non-negative integer"
        return [Cause(text, "FieldValueInvalid", f"Invalid value: {value}: {why}")]
    if value > _MOST_REPLICAS:
        why = f"should be less than or equal to {_MOST_REPLICAS}"
        return [Cause(text, "FieldValueInvalid", f"Invalid value: {value}: {why}")]
    return []
