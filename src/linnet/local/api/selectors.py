"""Label and field selectors: parsed once, matched often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]


class SelectorError(ValueError):
    """A selector that cannot be parsed: a 400 with this text."""


class Requirement(msgspec.Struct, frozen=True):
    """One condition on a label or field."""

    key: str
    operator: str  # in, notin, exists, !, gt, lt
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it."""
        raise NotImplementedError


def labels(text: str) -> tuple[Requirement, ...]:
    """The requirements of a `labelSelector` parameter: `a=b,c!=d,e in (f,g),h,!i`. Raises: SelectorError."""
    raise NotImplementedError


def fields(text: str) -> tuple[Requirement, ...]:
    """The requirements of a `fieldSelector` parameter (`=`, `==`, `!=` only). Raises: SelectorError."""
    raise NotImplementedError


def matches(requirements: tuple[Requirement, ...], values: Mapping[str, str]) -> bool:
    """Whether labels (or the selectable fields of an object) satisfy every requirement."""
    return all(requirement.holds(values) for requirement in requirements)


def selected(selector: Json | None, values: Mapping[str, str]) -> bool:
    """Whether a LabelSelector object (`matchLabels`, `matchExpressions`) selects the labels; None selects nothing."""
    raise NotImplementedError


def query(selector: Json | None) -> str:
    """A LabelSelector object as the text that `kubectl -l` takes (for `status.selector` of a Scale)."""
    raise NotImplementedError
