"""What is wrong with an object: the `details.causes` of a Status, with Kubernetes' texts.

Source: Kubernetes, `k8s.io/apimachinery/pkg/util/validation/field`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Cause(msgspec.Struct, frozen=True):
    """One violated rule: `message` begins with the kind of error ("Invalid value: …")."""

    field: str
    reason: str  # FieldValueInvalid, FieldValueRequired, …
    message: str


def shown(value: object) -> str:
    """A value as Go's field errors print it: strings quoted, structures as JSON, None as null."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def invalid(field: str, value: object, why: str) -> Cause:
    """A value that breaks a rule."""
    return Cause(field, "FieldValueInvalid", f"Invalid value: {shown(value)}: {why}")


def required(field: str, why: str = "") -> Cause:
    """A value that is missing."""
    return Cause(field, "FieldValueRequired", f"Required value: {why}" if why else "Required value")


def forbidden(field: str, why: str) -> Cause:
    """A value that must not be there, or must not change."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {why}")


def duplicate(field: str, value: object) -> Cause:
    """A value that must be unique."""
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def not_supported(field: str, value: object, supported: Sequence[object]) -> Cause:
    """A value outside an enumeration; `supported` is printed in the given order."""
    known = ", ".join(shown(s) for s in supported)
    return Cause(
        field, "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {known}"
    )


def not_found(field: str, value: object) -> Cause:
    """A value that refers to something that does not exist."""
    return Cause(field, "FieldValueNotFound", f"Not found: {shown(value)}")


def too_long(field: str, most: int) -> Cause:
    """A string longer than `most` bytes."""
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")


def too_many(field: str, actual: int, most: int) -> Cause:
    """A list or map with more than `most` entries."""
    return Cause(field, "FieldValueTooMany", f"Too many: {actual}: must have at most {most} items")


def summary(causes: Iterable[Cause]) -> str:
    """One cause as it is, several in brackets without repetitions, as Go's aggregate errors print them."""
    return summary_of(f"{cause.field}: {cause.message}" for cause in causes)


def summary_of(texts: Iterable[str]) -> str:
    """One text as it is, several in brackets without repetitions, "" for none."""
    listed = list(dict.fromkeys(texts))
    if not listed:
        return ""
    return listed[0] if len(listed) == 1 else "[" + ", ".join(listed) + "]"
