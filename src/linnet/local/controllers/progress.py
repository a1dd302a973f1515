"""The status of a Deployment: counts and conditions (pure).

Source: Kubernetes, Deployment status; texts as a 1.35 server writes them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from linnet.local.controllers.replicas import condition
from linnet.local.controllers.rollout import available, bounds, replicas

Object = dict[str, Any]


def _total(sets: Sequence[Object], field: str) -> int:
    return sum(int((found.get("status") or {}).get(field) or 0) for found in sets)


def complete(deployment: Object, status: Object) -> bool:
    """Whether a rollout has come to its end."""
    wanted = replicas(deployment)
    return all(
        status.get(field, 0) == wanted for field in ("updatedReplicas", "replicas", "availableReplicas")
    )


def deployment_status(
    deployment: Object, new: Object | None, old: Sequence[Object], *, created: bool, now: datetime
) -> Object:
    """The status of a Deployment. `created`: its newest ReplicaSet was made in this round."""
    sets = [*old, *([new] if new else [])]
    before = deployment.get("status") or {}
    can_serve = sum(available(found) for found in sets)
    numbers = {
        "replicas": _total(sets, "replicas"),
        "updatedReplicas": _total([new] if new else [], "replicas"),
        "readyReplicas": _total(sets, "readyReplicas"),
        "availableReplicas": can_serve,
        "unavailableReplicas": max(0, sum(replicas(found) for found in sets) - can_serve),
    }
    status: Object = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    status |= {key: value for key, value in numbers.items() if value}
    status["terminatingReplicas"] = _total(sets, "terminatingReplicas")
    if before.get("collisionCount"):
        status["collisionCount"] = before["collisionCount"]
    conditions = [
        _availability(deployment, can_serve),
        _failure(new, old),
        _progress(deployment, new, status, created=created, now=now),
    ]
    status["conditions"] = [_dated(deployment, found, now) for found in conditions if found]
    return status


def _availability(deployment: Object, can_serve: int) -> Object:
    _, unavailable = bounds(deployment)
    if can_serve >= replicas(deployment) - unavailable:
        return _condition(
            "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
        )
    return _condition(
        "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    )


def _failure(new: Object | None, old: Sequence[Object]) -> Object | None:
    for found in [*([new] if new else []), *old]:
        failed = condition(found, "ReplicaFailure")
        if failed and failed["status"] == "True":
            return _condition("ReplicaFailure", "True", failed["reason"], failed["message"])
    return None


def _progress(
    deployment: Object, new: Object | None, status: Object, *, created: bool, now: datetime
) -> Object | None:
    before = condition(deployment, "Progressing")
    if deployment["spec"].get("paused"):
        return _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    if new is None:
        return before
    name = f'ReplicaSet "{new["metadata"]["name"]}"'
    if complete(deployment, status):
        return _condition(
            "Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed."
        )
    if created:
        return _condition(
            "Progressing", "True", "NewReplicaSetCreated", f"Created new replica set {name[11:]}"
        )
    if before and before["reason"] == "DeploymentPaused":
        return _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
    if before is None:
        return _condition("Progressing", "True", "FoundNewReplicaSet", f"Found new replica set {name[11:]}")
    if _moved(deployment, status):
        updated = _condition("Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
        return updated | {"lastUpdateTime": _stamp(now)}
    if before["reason"] != "NewReplicaSetAvailable" and overdue(deployment, now):
        return _condition(
            "Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing."
        )
    return before


def _moved(deployment: Object, status: Object) -> bool:
    before = deployment.get("status") or {}

    def old_pods(of: Object) -> int:
        return int(of.get("replicas", 0)) - int(of.get("updatedReplicas", 0))

    return (
        status.get("updatedReplicas", 0) > before.get("updatedReplicas", 0)
        or status.get("readyReplicas", 0) > before.get("readyReplicas", 0)
        or status.get("availableReplicas", 0) > before.get("availableReplicas", 0)
        or old_pods(status) < old_pods(before)
    )


def overdue(deployment: Object, now: datetime) -> bool:
    """Whether a rollout has made no progress for `progressDeadlineSeconds`."""
    return deadline(deployment, now) <= 0


def deadline(deployment: Object, now: datetime) -> float:
    """Seconds until a rollout without progress has failed; infinite when it is complete or has no limit."""
    before = condition(deployment, "Progressing")
    limit = deployment["spec"].get("progressDeadlineSeconds")
    if limit is None or before is None or before["reason"] in ("NewReplicaSetAvailable", "DeploymentPaused"):
        return float("inf")
    if before["status"] == "False":
        return float("inf")
    return float(limit) - (now - datetime.fromisoformat(before["lastUpdateTime"])).total_seconds()


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _dated(deployment: Object, new: Object, now: datetime) -> Object:
    before = condition(deployment, new["type"])
    stamp = _stamp(now)
    if before and before["status"] == new["status"]:
        changed = before["reason"] != new["reason"] or before["message"] != new["message"]
        updated = new.get("lastUpdateTime") or (stamp if changed else before["lastUpdateTime"])
        return new | {"lastUpdateTime": updated, "lastTransitionTime": before["lastTransitionTime"]}
    return new | {"lastUpdateTime": stamp, "lastTransitionTime": stamp}


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
