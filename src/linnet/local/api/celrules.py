"""The CEL rules of a CRD (`x-kubernetes-validations`), evaluated over an object.

Source: Kubernetes, `apiextensions-apiserver/pkg/apiserver/schema/cel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.local.api.causes import Cause, shown
from linnet.local.api.celengine import CelError, evaluate, optional
from linnet.local.api.rules import correlated, key

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]

_UNSET: Any = object()

# How property names that are no CEL identifiers are written in rules.
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


def violations(node: Node, obj: Json, old: Json | None) -> list[Cause]:
    """The rules that do not hold, an object's own before those of its fields."""
    found: list[Cause] = []
    _walk(found, node, obj, _UNSET if old is None else old, "")
    return found


def _walk(found: list[Cause], node: Node, value: Any, old: Any, path: str) -> None:
    if not node.rules or value is None:
        return
    unchanged = old is not _UNSET and old == value
    for rule in node.raw.get("x-kubernetes-validations") or ():
        cause = _broken(rule, value, old, path, unchanged=unchanged)
        if cause is not None:
            found.append(cause)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for name, child in value.items():
            below = node.child(name)
            if below is not None:
                place = _place(path, name, declared=name in node.fields)
                _walk(found, below, child, before.get(name, _UNSET), place)
    elif isinstance(value, list) and node.items is not None:
        stored = correlated(node, old)
        for at, item in enumerate(value):
            was = stored.get(key(node, item), _UNSET) if stored else _UNSET
            _walk(found, node.items, item, was, f"{path}[{at}]")


def _place(path: str, name: str, *, declared: bool) -> str:
    if not declared:
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _broken(rule: Json, value: Any, old: Any, path: str, *, unchanged: bool) -> Cause | None:
    """The violation of one rule, None if it holds or does not apply."""
    text: str = rule["rule"]
    variables = {"self": _escaped(value) if "__" in text else value}
    if "oldSelf" in text:
        if rule.get("optionalOldSelf"):
            variables["oldSelf"] = optional(None if old is _UNSET else old, present=old is not _UNSET)
        elif old is _UNSET or old is None:
            return None
        else:
            variables["oldSelf"] = _escaped(old) if "__" in text else old
    elif unchanged:
        return None
    message: str = (rule.get("message") or "").strip()
    head = "Invalid value: " if isinstance(value, dict | list) else f"Invalid value: {shown(value)}: "
    place = path + (rule.get("fieldPath") or "") if path else (rule.get("fieldPath") or "").lstrip(".")
    place = place or "<nil>"
    try:
        if evaluate(text, variables) is True:
            return None
    except CelError as error:
        why = f"{error} evaluating rule: {message or text.strip()}"
        return Cause(place, "FieldValueInvalid", head + why)
    if expression := rule.get("messageExpression"):
        message = _message(expression, variables) or message
    return _cause(rule, place, head, value, message or f"failed rule: {text.strip()}")


def _message(expression: str, variables: Json) -> str:
    """The text of a `messageExpression`, "" if it cannot be had; the rule's own message is used then."""
    try:
        text = evaluate(expression, variables)
    except CelError:
        return ""
    return text.strip() if isinstance(text, str) else ""


def _cause(rule: Json, place: str, head: str, value: Any, message: str) -> Cause:
    match rule.get("reason", "FieldValueInvalid"):
        case "FieldValueRequired":
            return Cause(place, "FieldValueRequired", f"Required value: {message}")
        case "FieldValueForbidden":
            return Cause(place, "FieldValueForbidden", f"Forbidden: {message}")
        case "FieldValueDuplicate":
            return Cause(place, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")
    return Cause(place, "FieldValueInvalid", head + message)


def _escaped(value: Any) -> Any:
    """The value with its property names as rules write them."""
    if isinstance(value, dict):
        return {_identifier(name): _escaped(child) for name, child in value.items()} | {
            name: _escaped(child) for name, child in value.items()
        }
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _identifier(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for plain, escape in _ESCAPES:
        name = name.replace(plain, escape)
    return name
