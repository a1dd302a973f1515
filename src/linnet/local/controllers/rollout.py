"""Pure rules of a Deployment's rollout: which ReplicaSets there should be and how large.

Source: Kubernetes, Deployment: rolling update, pause, revision history.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

Object = dict[str, Any]
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX_REPLICAS,
}
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no words. Source: Kubernetes, rand.SafeEncodeString


class Scale(Struct, frozen=True):
    """A ReplicaSet that shall have `replicas` pods."""

    name: str
    replicas: int


def template_hash(template: Object, collisions: int) -> str:
    """A short name for a pod template; another one for each number of collisions."""
    digest = hashlib.sha256(json.dumps([template, collisions], sort_keys=True).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:10])


def same_template(deployment: Object, replica_set: Object) -> bool:
    """Whether a ReplicaSet was made from the Deployment's present template."""
    theirs = replica_set["spec"]["template"]
    labels = {k: v for k, v in (theirs["metadata"].get("labels") or {}).items() if k != HASH_LABEL}
    ours = deployment["spec"]["template"]
    return bool(
        _no_time(theirs["metadata"]) | {"labels": labels}
        == _no_time(ours["metadata"]) | {"labels": ours["metadata"].get("labels") or {}}
        and theirs["spec"] == ours["spec"]
    )


def _no_time(meta: Object) -> Object:
    return {key: value for key, value in meta.items() if key != "creationTimestamp" and value}


def newest(deployment: Object, sets: Sequence[Object]) -> Object | None:
    """The ReplicaSet of the present template; the oldest if several have it."""
    same = [found for found in sets if same_template(deployment, found)]
    return min(same, key=lambda found: found["metadata"]["creationTimestamp"], default=None)


def revision(replica_set: Object) -> int:
    """The revision number of a ReplicaSet; 0 without one."""
    text = (replica_set["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def copied_annotations(deployment: Object) -> dict[str, str]:
    """Annotations that a Deployment hands on to its ReplicaSets."""
    return {
        k: v for k, v in (deployment["metadata"].get("annotations") or {}).items() if k not in _NOT_COPIED
    }


def bounds(deployment: Object) -> tuple[int, int]:
    """`(surge, unavailable)` in pods: percentages of surge round up, of unavailable down; never both zero."""
    wanted = replicas(deployment)
    if deployment["spec"].get("strategy", {}).get("type") == "Recreate":
        return 0, wanted
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    surge = _number(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = _number(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _number(value: int | str, total: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    exact = total * int(value.rstrip("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)


def replicas(deployment: Object) -> int:
    """Pods that a Deployment or ReplicaSet wants."""
    return int(deployment["spec"].get("replicas", 1))


def available(replica_set: Object) -> int:
    """Pods of a ReplicaSet that are available."""
    return int((replica_set.get("status") or {}).get("availableReplicas") or 0)


def first_size(deployment: Object, old: Sequence[Object]) -> int:
    """Pods with which the new ReplicaSet of a rollout starts."""
    wanted = replicas(deployment)
    if deployment["spec"].get("strategy", {}).get("type") == "Recreate":
        return 0 if any(replicas(found) or _pods(found) for found in old) else wanted
    surge, _ = bounds(deployment)
    room = wanted + surge - sum(replicas(found) for found in old)
    return max(0, min(wanted, room))


def _pods(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("replicas") or 0)


def steps(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Scale]:
    """The next changes of size, at most one per ReplicaSet; none when the rollout is where it can be."""
    if deployment["spec"].get("paused") or _resized(deployment, new, old):
        return _proportional(deployment, new, old)
    if new is None:
        return []
    if deployment["spec"].get("strategy", {}).get("type") == "Recreate":
        return _recreate(deployment, new, old)
    up = _up(deployment, new, old)
    return [up] if up else _down(deployment, new, old)


def _resized(deployment: Object, new: Object | None, old: Sequence[Object]) -> bool:
    """Whether the Deployment was scaled since its ReplicaSets were sized, in the middle of a rollout."""
    live = [found for found in [*old, *([new] if new else [])] if replicas(found)]
    return len(live) > 1 and any(_stale(deployment, found) for found in live)


def _stale(deployment: Object, replica_set: Object) -> bool:
    """Whether a ReplicaSet was sized for another number of pods than the Deployment wants now."""
    noted = (replica_set["metadata"].get("annotations") or {}).get(DESIRED)
    return noted not in (None, str(replicas(deployment)))


def _proportional(deployment: Object, new: Object | None, old: Sequence[Object]) -> list[Scale]:
    live = [found for found in [*([new] if new else []), *old] if replicas(found)]
    wanted = replicas(deployment)
    if not live:
        return [Scale(new["metadata"]["name"], wanted)] if new and wanted and not old else []
    if len(live) == 1:
        only = live[0]
        return [Scale(only["metadata"]["name"], wanted)] if replicas(only) != wanted else []
    surge, _ = bounds(deployment)
    allowed = wanted + (surge if wanted else 0)
    total = sum(replicas(found) for found in live)
    largest = max(live, key=replicas)
    sizes = {
        found["metadata"]["name"]: round(replicas(found) * allowed / total)
        for found in live
        if found is not largest
    }
    sizes[largest["metadata"]["name"]] = max(0, allowed - sum(sizes.values()))
    # a set that keeps its size is written too: the new wish is noted on it, or the rollout would stop here
    return [
        Scale(found["metadata"]["name"], sizes[found["metadata"]["name"]])
        for found in live
        if sizes[found["metadata"]["name"]] != replicas(found) or _stale(deployment, found)
    ]


def _recreate(deployment: Object, new: Object, old: Sequence[Object]) -> list[Scale]:
    running = [Scale(found["metadata"]["name"], 0) for found in old if replicas(found)]
    if running:
        return running
    if any(_pods(found) for found in old):
        return []
    wanted = replicas(deployment)
    return [Scale(new["metadata"]["name"], wanted)] if replicas(new) != wanted else []


def _up(deployment: Object, new: Object, old: Sequence[Object]) -> Scale | None:
    wanted, have = replicas(deployment), replicas(new)
    if have == wanted:
        return None
    if have > wanted:
        return Scale(new["metadata"]["name"], wanted)
    surge, _ = bounds(deployment)
    room = wanted + surge - have - sum(replicas(found) for found in old)
    return Scale(new["metadata"]["name"], min(wanted, have + room)) if room > 0 else None


def _down(deployment: Object, new: Object, old: Sequence[Object]) -> list[Scale]:
    _, unavailable = bounds(deployment)
    floor = replicas(deployment) - unavailable
    total = sum(replicas(found) for found in old) + replicas(new)
    missing = replicas(new) - available(new)
    removable = total - floor - missing
    sizes: dict[str, int] = {}
    by_age = sorted(old, key=lambda found: str(found["metadata"]["creationTimestamp"]))
    for found in by_age:  # pods that serve nobody go first, and cost no availability
        idle = min(max(0, replicas(found) - available(found)), max(0, removable))
        if idle:
            sizes[found["metadata"]["name"]] = replicas(found) - idle
            removable -= idle
    spare = available(new) + sum(available(found) for found in old) - floor
    for found in by_age:
        name = found["metadata"]["name"]
        size = sizes.get(name, replicas(found))
        fewer = min(size, max(0, spare))
        if fewer and name not in sizes:
            sizes[name] = size - fewer
            spare -= fewer
    return [Scale(name, size) for name, size in sizes.items()]


def history_to_prune(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old ReplicaSets beyond `revisionHistoryLimit`, oldest revision first; only those that are at rest."""
    limit = int(deployment["spec"].get("revisionHistoryLimit", 10))
    at_rest = [
        found
        for found in old
        if not replicas(found)
        and not _pods(found)
        and not found["metadata"].get("deletionTimestamp")
        and (found.get("status") or {}).get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
    ]
    return sorted(at_rest, key=revision)[: max(0, len(old) - limit)]
