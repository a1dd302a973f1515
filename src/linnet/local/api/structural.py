"""Custom objects and their structural schemas: pruning and defaulting."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from linnet.local.api.decoding import Decoder

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]

_OBJECT_FIELDS = ("apiVersion", "kind", "metadata")


class Pruner:
    """Drops what a structural schema does not declare; collects messages in `unknown`."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def root(self, node: Node, obj: Json) -> Json:
        """A whole custom object."""
        return self._object(node, obj, "", resource=True)

    def _value(self, node: Node, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return self._object(node, value, path, resource=node.embedded)
        if isinstance(value, list) and node.items is not None:
            return [self._value(node.items, item, f"{path}[{at}]") for at, item in enumerate(value)]
        return value

    def _object(self, node: Node, value: Json, path: str, *, resource: bool) -> Json:
        out: Json = {}
        fields, values = node.fields, node.values
        keeps = node.preserves or node.raw.get("additionalProperties") is True or node.int_or_string
        for name, child in value.items():
            place = f"{path}.{name}" if path else name
            if resource and name in _OBJECT_FIELDS:
                out[name] = self._metadata(node, child, place) if name == "metadata" else child
            elif (below := fields.get(name) or values) is not None:
                out[name] = self._value(below, child, place)
            elif keeps:
                out[name] = child
            else:
                self.unknown.append(f'unknown field "{place}"')
        return out

    def _metadata(self, node: Node, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return value
        decoder = Decoder()
        read = decoder.read(node.object_meta, value, path, path, "ObjectMeta")
        self.unknown += decoder.unknown
        return read


def defaulted(node: Node, value: Any) -> Any:
    """The value with the defaults below `node`; nulls of fields that are not nullable go first."""
    if isinstance(value, list):
        items = node.items
        return [defaulted(items, item) for item in value] if items is not None else value
    if not isinstance(value, dict):
        return value
    out: Json = {}
    for name, child in value.items():
        below = node.fields.get(name)
        if below is None:
            out[name] = defaulted(node.values, child) if node.values is not None else child
        elif child is not None or below.nullable:
            out[name] = defaulted(below, child)
    for name, below in node.fields.items():
        if name not in out and "default" in below.raw:
            out[name] = defaulted(below, copy.deepcopy(below.raw["default"]))
    return out
