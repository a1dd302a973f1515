"""Label selectors of objects (`matchLabels`, `matchExpressions`). Source: Kubernetes, LabelSelector."""

from collections.abc import Mapping
from typing import Any


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """Whether a LabelSelector selects these labels. Empty selects everything, a missing one nothing.

    Raises:
        ValueError: an operator that does not exist.
    """
    if selector is None:
        return False
    have = labels or {}
    if any(have.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(expression, have) for expression in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case unknown:
            raise ValueError(f"label selector: unknown operator {unknown!r}")


def text(labels: Mapping[str, str]) -> str:
    """Equality requirements as kubectl writes them: `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
