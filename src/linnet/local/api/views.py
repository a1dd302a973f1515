"""Objects between the version that is stored and the versions that are served."""

from typing import Any

from linnet.local.api.registry import Resource

Json = dict[str, Any]

_HPA = "autoscaling/horizontalpodautoscalers"
_EVENTS = "events"
_STORED = {_HPA: "autoscaling/v2", _EVENTS: "v1"}

# core/v1 name -> events.k8s.io/v1 name
_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}


def is_stored_form(resource: Resource) -> bool:
    """Whether stored bytes of the resource can be served as they are."""
    return resource.custom is None and resource.bucket not in _STORED


def stored_version(resource: Resource) -> str:
    """The apiVersion that the resource's objects are stored in."""
    return _STORED.get(resource.bucket, resource.api_version)


def stored(resource: Resource, obj: Json) -> Json:
    """The object as it goes into the store."""
    version = stored_version(resource)
    if obj.get("apiVersion") == version:
        return obj
    if resource.bucket == _HPA:
        return _to_v2(obj)
    return _renamed(obj, "v1", {new: old for old, new in _EVENT_FIELDS.items()})


def served(resource: Resource, obj: Json) -> Json:
    """A stored object in the resource's version."""
    if obj.get("apiVersion") == resource.api_version:
        return obj
    if resource.custom is not None:
        return {**obj, "apiVersion": resource.api_version}
    if resource.bucket == _HPA:
        return _to_v1(obj)
    if resource.bucket == _EVENTS:
        return _renamed(obj, resource.api_version, _EVENT_FIELDS)
    return {**obj, "apiVersion": resource.api_version}


def _renamed(obj: Json, version: str, names: dict[str, str]) -> Json:
    return {**{names.get(key, key): value for key, value in obj.items()}, "apiVersion": version}


def _to_v2(obj: Json) -> Json:
    spec = dict(obj["spec"])
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        use = {"type": "Utilization", "averageUtilization": target}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": use}}]
    return {**obj, "apiVersion": "autoscaling/v2", "spec": spec}


def _to_v1(obj: Json) -> Json:
    spec = dict(obj["spec"])
    for metric in spec.pop("metrics", None) or ():
        resource = metric.get("resource", {})
        if resource.get("name") == "cpu" and "averageUtilization" in resource.get("target", {}):
            spec["targetCPUUtilizationPercentage"] = resource["target"]["averageUtilization"]
    spec.pop("behavior", None)
    return {**obj, "apiVersion": "autoscaling/v1", "spec": spec}
