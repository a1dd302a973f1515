"""Built-in objects as a typed server reads them: unknown fields dropped, quantities canonical."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any

from linnet.local.api import quantities

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}
_GO_FORMATS = {"int32": "int32", "int64": "int64", "double": "float64"}


class WrongType(Exception):
    """A built-in kind with a value of a wrong type: a 400 `BadRequest`; `message` is Go's decoding text."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Decoder:
    """Reads one object; collects the paths of unknown fields in `unknown`."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def read(self, node: Node, value: Any, path: str, go_path: str, struct: str) -> Any:
        """The value as the server keeps it. `go_path` has no indexes; `struct` is the Go type around it."""
        if node.definition == _QUANTITY:
            return self._quantity(value)
        if node.int_or_string:
            if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
                return value
            raise WrongType(_mismatch(value, struct, go_path, "int32"))
        match node.type:
            case "object":
                return self._object(node, value, path, go_path, struct)
            case "array":
                return self._array(node, value, path, go_path, struct)
            case "":
                return value
        return _scalar(node, value, struct, go_path)

    def _quantity(self, value: Any) -> str:
        if isinstance(value, bool | dict | list):
            raise WrongType(str(quantities.BadQuantity()))
        try:
            return quantities.canonical(str(value))
        except quantities.BadQuantity as error:
            raise WrongType(str(error)) from error

    def _object(self, node: Node, value: Any, path: str, go_path: str, struct: str) -> Any:
        if not isinstance(value, dict):
            raise WrongType(_mismatch(value, struct, go_path, _go_type(node)))
        fields, values = node.fields, node.values
        if not fields and values is None:
            return value
        out: Json = {}
        own = node.definition.rsplit(".", 1)[-1] or struct
        for name, child in value.items():
            below = fields.get(name)
            if below is None and values is None:
                self.unknown.append(f'unknown field "{path}.{name}"' if path else f'unknown field "{name}"')
                continue
            if child is None:
                continue
            if below is None:
                assert values is not None
                if type(child) is values.plain:
                    out[name] = child
                    continue
                out[name] = self.read(values, child, f"{path}.{name}", go_path, struct)
                continue
            if type(child) is below.plain:
                out[name] = child
                continue
            deeper = f"{go_path}.{name}" if go_path else name
            read = self.read(below, child, f"{path}.{name}" if path else name, deeper, own)
            if _omitted(node, below, name, read):
                continue
            out[name] = read
        return out

    def _array(self, node: Node, value: Any, path: str, go_path: str, struct: str) -> Any:
        if not isinstance(value, list):
            raise WrongType(_mismatch(value, struct, go_path, _go_type(node)))
        items = node.items
        if items is None:
            return value
        return [
            self.read(items, item, f"{path}[{at}]", go_path, struct)
            for at, item in enumerate(value)
            if item is not None
        ]


def _omitted(parent: Node, node: Node, name: str, value: Any) -> bool:
    """Whether Go's `omitempty` leaves it out: empty maps and lists, unless the API marks them as required."""
    if isinstance(value, dict | list) and not value:
        plain = isinstance(value, list) or (node.values is not None and not node.fields)
        return plain and name not in parent.required
    return False


def _scalar(node: Node, value: Any, struct: str, go_path: str) -> Any:
    match node.type:
        case "string" if isinstance(value, str):
            if node.format == "byte":
                _check_base64(value)
            return value
        case "boolean" if isinstance(value, bool):
            return value
        case "integer" if isinstance(value, int) and not isinstance(value, bool):
            return value
        case "integer" if isinstance(value, float) and value.is_integer():
            return int(value)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    shown = f"number {value}" if node.type == "integer" and isinstance(value, float) else ""
    raise WrongType(_mismatch(value, struct, go_path, _go_type(node), shown))


def _check_base64(text: str) -> None:
    try:
        binascii.a2b_base64(text, strict_mode=bool(text))
    except binascii.Error as error:
        good = next((at for at, char in enumerate(text) if not (char.isalnum() or char in "+/=")), len(text))
        raise WrongType(f"illegal base64 data at input byte {good}") from error


def _go_type(node: Node) -> str:
    match node.type:
        case "integer":
            return _GO_FORMATS.get(node.format, "int64")
        case "boolean":
            return "bool"
        case "number":
            return "float64"
        case "array":
            return f"[]{_go_type(node.items)}" if node.items else "[]interface {}"
        case "object" if node.definition:
            *_, version, name = node.definition.split(".")
            return f"{version}.{name}"
        case "object":
            return f"map[string]{_go_type(node.values)}" if node.values else "map[string]interface {}"
    return node.type or "interface {}"


def _mismatch(value: Any, struct: str, go_path: str, wanted: str, shown: str = "") -> str:
    kind = shown or _GO_KINDS.get(type(value), "null")
    place = f"Go struct field {struct}.{go_path}" if go_path else "Go value"
    return f"json: cannot unmarshal {kind} into {place} of type {wanted}"
