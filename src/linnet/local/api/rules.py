"""Custom objects against their structural schemas, with the texts of Kubernetes.

Source: Kubernetes, `apiextensions-apiserver/pkg/apiserver/validation`, `kube-openapi/pkg/validation`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from linnet.local.api import causes
from linnet.local.api.causes import Cause, shown
from linnet.local.api.formats import FORMATS

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]

_UNSET: Any = object()
_OBJECT_FIELDS = ("apiVersion", "kind", "metadata")


def type_of(value: Any) -> str:
    """The JSON type as messages name it."""
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return names.get(type(value), "null")


@lru_cache(maxsize=4096)
def pattern(text: str) -> re.Pattern[str] | None:
    """A Go regular expression, None where Python cannot express it (it is not checked then)."""
    try:
        return re.compile(text.replace(r"\z", r"\Z"))
    except re.error:
        return None


def violations(node: Node, obj: Json, old: Json | None) -> list[Cause]:
    """Everything that breaks the schema; values that an update does not touch are not checked again."""
    found: list[Cause] = []
    _check(found, node, obj, old if old is not None else _UNSET, "", resource=True)
    return found


def _fits(node: Node, value: Any) -> list[Cause]:
    """The violations of an alternative (anyOf, oneOf, allOf, not)."""
    found: list[Cause] = []
    _check(found, node, value, _UNSET, "", resource=False)
    return found


def _check(found: list[Cause], node: Node, value: Any, old: Any, path: str, *, resource: bool) -> None:
    if old is not _UNSET and type(old) is type(value) and old == value:
        return
    if value is None and node.nullable:
        return
    if not _typed(found, node, value, path):
        return
    _combined(found, node, value, path)
    if isinstance(value, str):
        _string(found, node.raw, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(found, node.raw, value, path)
    elif isinstance(value, list):
        _list(found, node, value, old, path)
    elif isinstance(value, dict):
        _object(found, node, value, old, path, resource=resource or node.embedded)
    options = node.raw.get("enum")
    if options is not None and value not in options:
        found.append(causes.not_supported(path or "<nil>", value, options))


def _typed(found: list[Cause], node: Node, value: Any, path: str) -> bool:
    """Whether the type fits; if not, it is the only violation reported here."""
    actual = type_of(value)
    if node.int_or_string:
        fits, wanted = actual in ("integer", "string"), "integer,string"
    else:
        wanted = node.type
        fits = not wanted or actual == wanted or (wanted == "number" and actual == "integer")
        fits = fits or (wanted == "integer" and isinstance(value, float) and value.is_integer())
    if not fits:
        place = f"{path} in body " if path else ""
        message = f'Invalid value: "{actual}": {place}must be of type {wanted}: "{actual}"'
        found.append(Cause(path or "<nil>", "FieldValueTypeInvalid", message))
    return fits


def _combined(found: list[Cause], node: Node, value: Any, path: str) -> None:
    """anyOf, oneOf, allOf and not."""
    raw, schemas = node.raw, node.schemas
    failures = {
        name: [_fits(schemas.compiled(alternative, custom=True), value) for alternative in raw[name]]
        for name in ("anyOf", "oneOf", "allOf")
        if raw.get(name)
    }
    place = path or "<nil>"

    def bad(why: str) -> None:
        found.append(causes.invalid(place, "", f'"{path}" {why}'))

    if (tried := failures.get("anyOf")) and all(tried):
        bad("must validate at least one schema (anyOf)")
        found += [_moved(cause, path) for cause in tried[0]]
    if tried := failures.get("oneOf"):
        valid = sum(not failed for failed in tried)
        if valid == 0:
            bad("must validate one and only one schema (oneOf). Found none valid")
            found += [_moved(cause, path) for cause in tried[0]]
        elif valid > 1:
            bad(f"must validate one and only one schema (oneOf). Found {valid} valid alternatives")
    if (tried := failures.get("allOf")) and any(tried):
        bad("must validate all the schemas (allOf)")
        found += [_moved(cause, path) for failed in tried for cause in failed]
    if "not" in raw and not _fits(schemas.compiled(raw["not"], custom=True), value):
        bad("must not validate the schema (not)")


def _moved(cause: Cause, path: str) -> Cause:
    """A violation inside an alternative, at its place in the object."""
    if cause.field == "<nil>":
        return Cause(path or "<nil>", cause.reason, cause.message)
    joined = f"{path}{'' if cause.field.startswith('[') else '.'}{cause.field}" if path else cause.field
    return Cause(joined, cause.reason, cause.message.replace(f"{cause.field} in body", f"{joined} in body"))


def _string(found: list[Cause], raw: Any, value: str, path: str) -> None:
    if len(value) < raw.get("minLength", 0):
        why = f"{path} in body should be at least {raw['minLength']} chars long"
        found.append(causes.invalid(path, value, why))
    if "maxLength" in raw and len(value) > raw["maxLength"]:
        found.append(causes.too_long(path, raw["maxLength"]))
    expression = pattern(raw["pattern"]) if raw.get("pattern") else None
    if expression is not None and not expression.search(value):
        found.append(causes.invalid(path, value, f"{path} in body should match '{raw['pattern']}'"))
    check = FORMATS.get(raw.get("format", ""))
    if check is not None and not check(value):
        why = f"{path} in body must be of type {raw['format']}: {shown(value)}"
        found.append(causes.invalid(path, value, why))


def _number(found: list[Cause], raw: Any, value: float, path: str) -> None:
    least, most, step = raw.get("minimum"), raw.get("maximum"), raw.get("multipleOf")
    if least is not None:
        if raw.get("exclusiveMinimum") and value <= least:
            found.append(causes.invalid(path, value, f"{path} in body should be greater than {least}"))
        elif value < least:
            why = f"{path} in body should be greater than or equal to {least}"
            found.append(causes.invalid(path, value, why))
    if most is not None:
        if raw.get("exclusiveMaximum") and value >= most:
            found.append(causes.invalid(path, value, f"{path} in body should be less than {most}"))
        elif value > most:
            why = f"{path} in body should be less than or equal to {most}"
            found.append(causes.invalid(path, value, why))
    if step and value % step:
        found.append(causes.invalid(path, value, f"{path} in body should be a multiple of {step}"))


def _list(found: list[Cause], node: Node, value: list[Any], old: Any, path: str) -> None:
    raw = node.raw
    if len(value) < raw.get("minItems", 0):
        why = f"{path} in body should have at least {raw['minItems']} items"
        found.append(causes.invalid(path, len(value), why))
    if "maxItems" in raw and len(value) > raw["maxItems"]:
        found.append(causes.too_many(path, len(value), raw["maxItems"]))
    if raw.get("uniqueItems") and len({shown(item) for item in value}) < len(value):
        found.append(causes.invalid(path, "", f'"{path}" shouldn\'t contain duplicates'))
    if node.items is None:
        return
    before = correlated(node, old)
    for at, item in enumerate(value):
        was = before.get(key(node, item), _UNSET) if before else _UNSET
        _check(found, node.items, item, was, f"{path}[{at}]", resource=False)


def key(node: Node, item: Any) -> str:
    """What identifies an item of a list map across an update."""
    fields = node.items.fields if node.items else {}
    keys = {}
    for name in node.map_keys:
        value = item.get(name) if isinstance(item, dict) else None
        if value is None and name in fields:
            value = fields[name].raw.get("default")
        keys[name] = value
    return shown(keys)


def correlated(node: Node, old: Any) -> dict[str, Any]:
    """The items of the stored list by key; empty where items have no identity."""
    if node.list_type != "map" or not isinstance(old, list):
        return {}
    return {key(node, item): item for item in old}


def _object(found: list[Cause], node: Node, value: Json, old: Any, path: str, *, resource: bool) -> None:
    raw = node.raw
    if len(value) > raw.get("maxProperties", len(value)):
        found.append(causes.too_many(path, len(value), raw["maxProperties"]))
    if len(value) < raw.get("minProperties", 0):
        why = f"{path} in body should have at least {raw['minProperties']} properties"
        found.append(causes.invalid(path or "<nil>", len(value), why))
    found += [
        causes.required(f"{path}.{name}" if path else name) for name in node.required if name not in value
    ]
    before = old if isinstance(old, dict) else {}
    for name, child in value.items():
        if resource and name in _OBJECT_FIELDS:
            continue
        below = node.child(name)
        if below is not None:
            place = f"{path}.{name}" if path else name
            _check(found, below, child, before.get(name, _UNSET), place, resource=False)


def duplicates(node: Node, value: Any, path: str = "") -> list[Cause]:
    """Repeated items of sets and list maps."""
    found: list[Cause] = []
    if isinstance(value, list):
        seen: set[str] = set()
        for at, item in enumerate(value):
            place = f"{path}[{at}]"
            if node.list_type in ("set", "map"):
                identity = shown(item) if node.list_type == "set" else _key_text(node, item)
                if identity in seen:
                    found.append(Cause(place, "FieldValueDuplicate", f"Duplicate value: {identity}"))
                seen.add(identity)
            if node.items is not None:
                found += duplicates(node.items, item, place)
    elif isinstance(value, dict):
        for name, item in value.items():
            below = node.child(name)
            if below is not None:
                found += duplicates(below, item, f"{path}.{name}" if path else name)
    return found


def _key_text(node: Node, item: Any) -> str:
    keys = {name: item[name] for name in node.map_keys if name in item} if isinstance(item, dict) else {}
    return shown(keys)
