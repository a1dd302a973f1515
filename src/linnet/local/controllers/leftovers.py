"""What a namespace that is being deleted still waits for, as its conditions.

Source: Kubernetes, `pkg/controller/namespace/deletion`; texts observed with 1.35.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from linnet.kube.kinds import Kind

Object = dict[str, Any]


def deletion_conditions(waiting: Mapping[Kind, list[Object]], before: list[Object], now: str) -> list[Object]:
    """The five conditions; `waiting` holds deleted objects by kind, `now` is RFC 3339."""
    counts = [
        f"{kind.plural}.{kind.group} has {len(items)} resource instances"
        for kind, items in sorted(waiting.items(), key=lambda entry: (entry[0].plural, entry[0].group))
    ]
    held = Counter(
        finalizer
        for items in waiting.values()
        for item in items
        for finalizer in item["metadata"].get("finalizers") or ()
    )
    holders = [f"{finalizer} in {count} resource instances" for finalizer, count in sorted(held.items())]
    rows = [
        ("DeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        ("DeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", _PARSED),
        ("DeletionContentFailure", "False", "ContentDeleted", _DELETED),
        _row(
            "ContentRemaining", "SomeResourcesRemain", "Some resources are remaining", counts, _NOTHING_LEFT
        ),
        _row("FinalizersRemaining", "SomeFinalizersRemain", _HELD, holders, _NOTHING_HELD),
    ]
    old = {entry["type"]: entry for entry in before}
    return [
        _condition(old.get(f"Namespace{kind}"), f"Namespace{kind}", (status, reason, message), now)
        for kind, status, reason, message in rows
    ]


_PARSED = "All legacy kube types successfully parsed"
_DELETED = "All content successfully deleted, may be waiting on finalization"
_HELD = "Some content in the namespace has finalizers remaining"
_NOTHING_LEFT = ("ContentRemoved", "All content successfully removed")
_NOTHING_HELD = ("ContentHasNoFinalizers", "All content-preserving finalizers finished")


def _row(
    kind: str, reason: str, text: str, parts: list[str], otherwise: tuple[str, str]
) -> tuple[str, str, str, str]:
    if parts:
        return kind, "True", reason, f"{text}: {', '.join(parts)}"
    return kind, "False", *otherwise


def _condition(old: Object | None, kind: str, said: tuple[str, str, str], now: str) -> Object:
    status, reason, message = said
    same = old is not None and old.get("status") == status
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": old["lastTransitionTime"] if same and old is not None else now,
        "reason": reason,
        "message": message,
    }
