"""Pure rules about the pods of a ReplicaSet: which count, which go first, what the status says."""

from datetime import UTC, datetime
from typing import Any

from linnet.local.controllers.owners import deleting

Object = dict[str, Any]


def condition(obj: Object, kind: str) -> Object | None:
    """A condition of an object's status by type."""
    return next((c for c in (obj.get("status") or {}).get("conditions") or () if c["type"] == kind), None)


def ready(pod: Object) -> bool:
    """Whether a pod's Ready condition is True."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def ready_for(pod: Object, now: datetime) -> float:
    """Seconds since a pod became ready; negative when it is not."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return -1.0
    return (now - datetime.fromisoformat(found["lastTransitionTime"])).total_seconds()


def finished(pod: Object) -> bool:
    """Whether a pod has run to its end."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def active(pods: list[Object]) -> list[Object]:
    """Pods that count as replicas."""
    return [pod for pod in pods if not deleting(pod) and not finished(pod)]


def first_to_go(pods: list[Object]) -> list[Object]:
    """Pods in the order in which scaling down removes them.

    Source: Kubernetes, ReplicaSet: unassigned, pending, not ready, lower deletion cost, restarted, younger.
    """

    def rank(pod: Object) -> tuple[bool, bool, bool, int, int, float]:
        status = pod.get("status") or {}
        cost = int(
            (pod["metadata"].get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost", 0)
        )
        restarts = sum(c.get("restartCount", 0) for c in status.get("containerStatuses") or ())
        created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
        return (
            bool(pod["spec"].get("nodeName")),
            status.get("phase") == "Running",
            ready(pod),
            cost,
            -restarts,
            -created,
        )

    return sorted(pods, key=rank)


def pod_of(replica_set: Object, reference: Object) -> Object:
    """A new pod from a ReplicaSet's template."""
    template = replica_set["spec"]["template"]
    meta: Object = {
        "generateName": replica_set["metadata"]["name"] + "-",
        "namespace": replica_set["metadata"]["namespace"],
        "labels": dict(template["metadata"].get("labels") or {}),
        "ownerReferences": [reference],
    }
    if template["metadata"].get("annotations"):
        meta["annotations"] = dict(template["metadata"]["annotations"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def status(replica_set: Object, pods: list[Object], failure: str, now: datetime) -> tuple[Object, float]:
    """The status of a ReplicaSet, and the seconds after which it changes by time alone (0: it does not).

    `failure` is why pods could not be created; empty when they could.
    """
    counted = active(pods)
    wait = float(replica_set["spec"].get("minReadySeconds") or 0)
    ages = [ready_for(pod, now) for pod in counted]
    labels = replica_set["spec"]["template"]["metadata"].get("labels") or {}
    numbers = {
        "fullyLabeledReplicas": sum(
            labels.items() <= (p["metadata"].get("labels") or {}).items() for p in counted
        ),
        "readyReplicas": sum(age >= 0 for age in ages),
        "availableReplicas": sum(age >= 0 and age >= wait for age in ages),
    }
    result: Object = {"replicas": len(counted)} | {key: value for key, value in numbers.items() if value}
    result["observedGeneration"] = replica_set["metadata"].get("generation", 0)
    result["terminatingReplicas"] = sum(deleting(pod) and not finished(pod) for pod in pods)
    if failure:
        before = condition(replica_set, "ReplicaFailure")
        since = before["lastTransitionTime"] if before else _stamp(now)
        result["conditions"] = [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": failure,
                "lastTransitionTime": since,
            }
        ]
    pending = [wait - age for age in ages if 0 <= age < wait]
    return result, min(pending, default=0.0)


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
