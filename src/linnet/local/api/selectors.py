"""Label and field selectors: parsed once, matched often."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from linnet.local.api import names

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset(["=", "==", "!=", "!", "(", ")", ",", "<", ">"])


class SelectorError(ValueError):
    """A selector that cannot be parsed: a 400 with this text."""


class Requirement(msgspec.Struct, frozen=True):
    """One condition on a label or field."""

    key: str
    operator: str  # in, notin, exists, !, gt, lt
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not value.lstrip("-").isdigit():
            return False
        bound = int(next(iter(self.values)))
        return int(value) > bound if self.operator == "gt" else int(value) < bound


def labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a `labelSelector` parameter: `a=b,c!=d,e in (f,g),h,!i`. Raises: SelectorError."""
    return _LabelParser(text).requirements()


class _LabelParser:
    """Recursive descent over the tokens of a label selector. Source: `k8s.io/apimachinery/pkg/labels`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def requirements(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        if not self._tokens:
            return ()
        while True:
            found.append(self._requirement())
            if self._at == len(self._tokens):
                return tuple(sorted(found, key=lambda requirement: requirement.key))
            self._expect(",")
            if self._at == len(self._tokens):
                self._fail("", "identifier after ','")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _fail(self, found: str, expected: str) -> None:
        raise SelectorError(f"unable to parse requirement: found '{found}', expected: {expected}")

    def _expect(self, symbol: str) -> None:
        token = self._next()
        if token != symbol:
            self._fail(token, f"{symbol!r}" if symbol != "," else "',' or 'end of string'")

    def _requirement(self) -> Requirement:
        absent = self._peek() == "!"
        if absent:
            self._at += 1
        key = self._next()
        if key in _SYMBOLS or not key:
            self._fail(key, "identifier")
        _check_key(key)
        if absent:
            return Requirement(key, "!")
        match self._peek():
            case "" | ",":
                return Requirement(key, "exists")
            case "=" | "==":
                self._at += 1
                return Requirement(key, "in", frozenset([self._value()]))
            case "!=":
                self._at += 1
                return Requirement(key, "notin", frozenset([self._value()]))
            case ">" | "<" as sign:
                self._at += 1
                return self._comparison(key, sign)
            case "in" | "notin" as operator:
                self._at += 1
                return Requirement(key, operator, self._values())
            case other:
                self._fail(other, "in, notin, =, ==, !=, gt, lt")
        raise AssertionError

    def _comparison(self, key: str, sign: str) -> Requirement:
        value = self._value()
        if not value.lstrip("-").isdigit():
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise SelectorError(f'values[0][{key}]: Invalid value: "{value}": {why}')
        return Requirement(key, "gt" if sign == ">" else "lt", frozenset([value]))

    def _value(self) -> str:
        if self._peek() in ("", ","):
            return ""
        value = self._next()
        if value in _SYMBOLS:
            self._fail(value, "identifier")
        _check_value(value)
        return value

    def _values(self) -> frozenset[str]:
        self._expect("(")
        values = [self._value() if self._peek() != ")" else ""]
        while (symbol := self._next()) == ",":
            values.append(self._value() if self._peek() != ")" else "")
        if symbol != ")":
            self._fail(symbol, "',' or ')'")
        return frozenset(values)


def _check_key(key: str) -> None:
    for why in names.qualified(key):
        raise SelectorError(f'key: Invalid value: "{key}": {why}')


def _check_value(value: str) -> None:
    for why in names.label_value(value):
        raise SelectorError(f'values[0]: Invalid value: "{value}": {why}')


def fields(text: str) -> tuple[Requirement, ...]:
    """The requirements of a `fieldSelector` parameter (`=`, `==`, `!=` only). Raises: SelectorError."""
    found = []
    for part in re.split(r"(?<!\\),", text) if text else ():
        if not part:
            continue
        split = re.match(r"((?:[^=!\\]|\\.)*?)(!=|==|=)(.*)", part)
        if not split:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        value = re.sub(r"\\([\\,=])", r"\1", split[3])
        found.append(Requirement(split[1], "notin" if split[2] == "!=" else "in", frozenset([value])))
    return tuple(found)


def matches(requirements: tuple[Requirement, ...], values: Mapping[str, str]) -> bool:
    """Whether labels (or the selectable fields of an object) satisfy every requirement."""
    return all(requirement.holds(values) for requirement in requirements)


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def _requirements(selector: Json) -> tuple[Requirement, ...]:
    """The requirements of a LabelSelector object."""
    pairs = (selector.get("matchLabels") or {}).items()
    expressions = selector.get("matchExpressions") or ()
    return (
        *(Requirement(key, "in", frozenset([value])) for key, value in pairs),
        *(
            Requirement(
                entry["key"], _OPERATORS.get(entry["operator"], "in"), frozenset(entry.get("values") or ())
            )
            for entry in expressions
        ),
    )


def selected(selector: Json | None, values: Mapping[str, str]) -> bool:
    """Whether a LabelSelector object selects the labels; None selects nothing."""
    return selector is not None and matches(_requirements(selector), values)


def query(selector: Json | None) -> str:
    """A LabelSelector object as the text that `kubectl -l` takes (for `status.selector` of a Scale)."""
    parts = []
    for requirement in sorted(_requirements(selector or {}), key=lambda requirement: requirement.key):
        values = ",".join(sorted(requirement.values))
        match requirement.operator:
            case "in" if len(requirement.values) == 1:
                parts.append(f"{requirement.key}={values}")
            case "exists":
                parts.append(requirement.key)
            case "!":
                parts.append(f"!{requirement.key}")
            case operator:
                parts.append(f"{requirement.key} {operator} ({values})")
    return ",".join(parts)
