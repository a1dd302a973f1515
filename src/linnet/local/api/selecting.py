"""Label and field selectors of a request, as one predicate over objects."""

from collections.abc import Mapping
from typing import Any

from linnet.local.api import refusals, selectors
from linnet.local.api.registry import Resource
from linnet.local.api.watching import Selects

Json = dict[str, Any]

_EVENTS = frozenset(
    {
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    }
)
# What each resource can be selected by, besides its name and namespace.
# Source: Kubernetes, the field label conversions of each group.
_FIELDS: dict[str, frozenset[str]] = {
    "pods": frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        }
    ),
    "events": _EVENTS,
    "events.k8s.io/events": _EVENTS
    | frozenset(
        {"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "reportingController"}
    ),
    "secrets": frozenset({"type"}),
    "namespaces": frozenset({"status.phase"}),
    "nodes": frozenset({"spec.unschedulable"}),
    "services": frozenset({"spec.clusterIP", "spec.type"}),
    "replicationcontrollers": frozenset({"status.replicas"}),
    "apps/replicasets": frozenset({"status.replicas"}),
    "batch/jobs": frozenset({"status.successful"}),
    "certificates.k8s.io/certificatesigningrequests": frozenset({"spec.signerName"}),
}
_METADATA = frozenset({"metadata.name", "metadata.namespace"})
# Selectable names that are not paths.
_ALIASES = {
    "reportingComponent": ("source.component", "reportingComponent"),
    "source": ("source.component", "reportingComponent"),
    "status.successful": ("status.succeeded",),
}


def selects(resource: Resource, query: Mapping[str, str]) -> Selects | None:
    """The predicate of `labelSelector` and `fieldSelector`, None if everything is selected.

    Raises: Refused 400.
    """
    labels_text, fields_text = query.get("labelSelector", ""), query.get("fieldSelector", "")
    if not labels_text and not fields_text:
        return None
    try:
        labels = selectors.labels(labels_text) if labels_text else ()
        fields = selectors.fields(fields_text) if fields_text else ()
    except selectors.SelectorError as error:
        raise refusals.bad_request(str(error)) from error
    known = _METADATA | (
        frozenset(resource.custom.selectable) if resource.custom else _FIELDS.get(resource.name, frozenset())
    )
    for requirement in fields:
        if requirement.key not in known:
            raise refusals.bad_request(f"field label not supported: {requirement.key}")

    def chosen(obj: Json) -> bool:
        if labels and not selectors.matches(labels, obj["metadata"].get("labels") or {}):
            return False
        values = {requirement.key: _value(obj, requirement.key) for requirement in fields}
        return selectors.matches(fields, values)

    return chosen


def _value(obj: Json, key: str) -> str:
    """The value of a selectable field as text; absent is empty."""
    for path in _ALIASES.get(key, (key,)):
        found: Any = obj
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is not None:
            return str(found).lower() if isinstance(found, bool) else str(found)
    return "false" if key in ("spec.unschedulable", "spec.hostNetwork") else ""
