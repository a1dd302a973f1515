"""LimitRanges: the resources that new Pods get by default, and between which bounds they may ask.

Source: Kubernetes, admission plug-in LimitRanger; texts observed with 1.35.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from linnet.local.api.causes import summary_of
from linnet.local.api.quantities import value

Json = dict[str, Any]

_ANNOTATION = "kubernetes.io/limit-ranger"


def complete(pod: Json, ranges: Iterable[Json]) -> None:
    """Give the containers of a new Pod what they leave out, and note that in an annotation."""
    spec = pod["spec"]
    for limit in _limits(ranges, "Container"):
        notes: list[str] = []
        for kind, name in (("container", "containers"), ("init container", "initContainers")):
            for container in spec.get(name) or ():
                notes += _completed(container, kind, limit)
        if notes:
            annotations = pod["metadata"].setdefault("annotations", {})
            annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _completed(container: Json, kind: str, limit: Json) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for field, word, default in (
        ("requests", "request", limit.get("defaultRequest") or {}),
        ("limits", "limit", limit.get("default") or {}),
    ):
        own = resources.get(field) or {}
        added = {name: amount for name, amount in default.items() if name not in own}
        if added:
            resources[field] = {**own, **added}
            yield f"{', '.join(sorted(added))} {word} for {kind} {container['name']}"


def complaint(pod: Json, ranges: Iterable[Json]) -> str:
    """What is out of bounds in a Pod, \"\" if nothing."""
    spec = pod["spec"]
    found: list[str] = []
    listed = list(ranges)
    for limit in _limits(listed, "Container"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            found += _out_of_bounds(limit, "Container", container.get("resources") or {})
    for limit in _limits(listed, "Pod"):
        found += _out_of_bounds(limit, "Pod", total(spec))
    return summary_of(found)


def total(spec: Json) -> Json:
    """The resources of a whole pod: its containers together, or one init container if that wants more."""
    sums: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    for field, amounts in sums.items():
        for container in spec.get("containers") or ():
            for name, amount in ((container.get("resources") or {}).get(field) or {}).items():
                amounts[name] = amounts.get(name, Decimal(0)) + value(str(amount))
        for container in spec.get("initContainers") or ():
            for name, amount in ((container.get("resources") or {}).get(field) or {}).items():
                amounts[name] = max(amounts.get(name, Decimal(0)), value(str(amount)))
    return {
        field: {name: plain(amount) for name, amount in amounts.items()} for field, amounts in sums.items()
    }


def plain(amount: Decimal) -> str:
    """A number as a quantity."""
    if amount == amount.to_integral_value():
        return str(int(amount))
    return f"{int(amount * 1000)}m" if (amount * 1000) % 1 == 0 else f"{int(amount * 10**9)}n"


def _limits(ranges: Iterable[Json], kind: str) -> Iterator[Json]:
    for one in ranges:
        yield from (limit for limit in one["spec"].get("limits") or () if limit.get("type") == kind)


def _out_of_bounds(limit: Json, kind: str, resources: Json) -> Iterator[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, bound in sorted((limit.get("min") or {}).items()):
        head = f"minimum {name} usage per {kind} is {bound}"
        if name not in requests:
            yield f"{head}.  No request is specified"
        elif value(str(requests[name])) < value(str(bound)):
            yield f"{head}, but request is {requests[name]}"
        elif name in limits and value(str(limits[name])) < value(str(bound)):
            yield f"{head}, but limit is {limits[name]}"
    for name, bound in sorted((limit.get("max") or {}).items()):
        head = f"maximum {name} usage per {kind} is {bound}"
        if name not in limits:
            yield f"{head}.  No limit is specified"
        elif value(str(limits[name])) > value(str(bound)):
            yield f"{head}, but limit is {limits[name]}"
        elif name in requests and value(str(requests[name])) > value(str(bound)):
            yield f"{head}, but request is {requests[name]}"
    for name, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        asked, allowed = requests.get(name), limits.get(name)
        head = f"{name} max limit to request ratio per {kind} is {bound}"
        if not asked or not value(str(asked)):
            yield f"{head}, but no request is specified or request is 0"
        elif not allowed or not value(str(allowed)):
            yield f"{head}, but no limit is specified or limit is 0"
        elif (ratio := value(str(allowed)) / value(str(asked))) > value(str(bound)):
            yield f"{head}, but provided ratio is {ratio:f}"
