"""What the server itself puts into objects, kind by kind, before they are checked and stored.

`for_create` and `for_update` change the object that they are given.
"""

from collections.abc import Iterable
from typing import Any

from linnet.local.api import crds, pods, servicechecks
from linnet.local.api.registry import Resource
from linnet.local.api.users import User

Json = dict[str, Any]

_GENERATION_GROUPS = frozenset(
    {
        "apps",
        "policy",
        "batch",
        "networking.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "discovery.k8s.io",
        "resource.k8s.io",
        "storage.k8s.io",
    }
)
_GENERATION = frozenset({"pods", "replicationcontrollers"})
_NO_GENERATION = frozenset(
    {
        "apps/controllerrevisions",
        "networking.k8s.io/ipaddresses",
        "networking.k8s.io/servicecidrs",
        "storage.k8s.io/csidrivers",
        "storage.k8s.io/csinodes",
        "storage.k8s.io/csistoragecapacities",
        "storage.k8s.io/storageclasses",
        "storage.k8s.io/volumeattachments",
        "storage.k8s.io/volumeattributesclasses",
    }
)
# Zero values that the API shows although nobody reported them.
_FIRST_STATUS: dict[str, Json] = {
    "namespaces": {"phase": "Active"},
    "persistentvolumeclaims": {"phase": "Pending"},
    "persistentvolumes": {"phase": "Pending"},
    "services": {"loadBalancer": {}},
    "replicationcontrollers": {"replicas": 0},
    "apps/replicasets": {"replicas": 0},
    "apps/statefulsets": {"replicas": 0, "availableReplicas": 0},
    "apps/daemonsets": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "autoscaling/horizontalpodautoscalers": {"currentMetrics": None, "desiredReplicas": 0},
    "policy/poddisruptionbudgets": {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    },
    "networking.k8s.io/ingresses": {"loadBalancer": {}},
}
# Fields of their status belong to the object itself.
WRITES_STATUS = frozenset({"nodes", "apiextensions.k8s.io/customresourcedefinitions"})


def has_generation(resource: Resource) -> bool:
    if resource.custom is not None or resource.name in _GENERATION:
        return True
    return resource.group in _GENERATION_GROUPS and resource.name not in _NO_GENERATION


def for_create(resource: Resource, obj: Json, user: User, now: str, others: Iterable[Json] = ()) -> None:
    """A new object: its first status and generation, and what its kind demands.

    `others` are the stored objects of a kind whose names must not clash (CRDs).
    """
    metadata = obj["metadata"]
    metadata.pop("generation", None)
    if has_generation(resource):
        metadata["generation"] = 1
    if resource.sub("status") and resource.name not in WRITES_STATUS:
        obj.pop("status", None)
        if resource.custom is None:
            obj["status"] = dict(_FIRST_STATUS.get(resource.name, {}))
    match resource.name:
        case "namespaces":
            _namespace(obj)
        case "pods":
            obj["status"] = {"phase": "Pending", "qosClass": pods.quality(obj["spec"])}
        case "batch/jobs":
            _job(obj)
        case "certificates.k8s.io/certificatesigningrequests":
            _signing_request(obj, user)
        case "apiextensions.k8s.io/customresourcedefinitions":
            _crd(obj, None, now, others)


def for_update(
    resource: Resource, new: Json, old: Json, subresource: str, now: str, others: Iterable[Json] = ()
) -> None:
    """A changed object: its generation follows its spec; the rest as its kind demands."""
    if resource.name == "apiextensions.k8s.io/customresourcedefinitions" and not subresource:
        _crd(new, old, now, others)
    if resource.name == "services" and not subresource:
        servicechecks.settled(new, old)
    generation = old["metadata"].get("generation")
    if has_generation(resource):
        changed = subresource != "binding" and _desired(new) != _desired(old)
        new["metadata"]["generation"] = (generation or 1) + 1 if changed else (generation or 1)
    elif generation is not None:
        new["metadata"]["generation"] = generation


def _desired(obj: Json) -> Json:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status", "apiVersion")}


def _namespace(obj: Json) -> None:
    obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]
    name = obj["metadata"]["name"]
    labels = obj["metadata"].get("labels") or {}
    obj["metadata"]["labels"] = {**labels, "kubernetes.io/metadata.name": name}


def _crd(obj: Json, old: Json | None, now: str, others: Iterable[Json]) -> None:
    prepared = crds.prepared(obj, old, now=now, others=others)
    obj.clear()
    obj.update(prepared)


def _signing_request(obj: Json, user: User) -> None:
    """A certificate request says who made it."""
    spec = obj.setdefault("spec", {})
    info = user.info()
    for field in ("username", "uid", "groups", "extra"):
        if field in info:
            spec[field] = info[field]
        else:
            spec.pop(field, None)


def _job(obj: Json) -> None:
    """A Job selects its pods by its own uid, unless it brings a selector."""
    spec = obj["spec"]
    if spec.get("manualSelector") or spec.get("selector"):
        return
    uid = obj["metadata"]["uid"]
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    template = spec["template"].setdefault("metadata", {})
    name = obj["metadata"]["name"]
    template["labels"] = {
        **(template.get("labels") or {}),
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
