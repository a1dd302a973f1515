"""What stands in the cells of a table: one function per resource, in the order of its columns after the name.

Source: the printers of Kubernetes; observed with 1.35.
"""

from collections.abc import Callable, Iterable
from typing import Any

from linnet.local.api import ages, networkcells, podcells, workloadcells
from linnet.local.api.cellparts import NONE, age, dig, labels, template

Json = dict[str, Any]
Cells = list[Any]


def _event(obj: Json) -> Cells:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController", "")
    host = source.get("host") or obj.get("reportingInstance", "")
    count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
    kind = about.get("kind", "").lower()
    return [
        ages.since(last or first),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath", ""),
        ", ".join(part for part in (component, host) if part),
        (obj.get("message") or obj.get("note") or "").strip(),
        ages.since(first or last),
        count,
        obj["metadata"]["name"],
    ]


def _node(obj: Json) -> Cells:
    conditions = {one["type"]: one["status"] for one in dig(obj, "status", "conditions", default=[])}
    state = {"True": "Ready", None: "Unknown"}.get(conditions.get("Ready"), "NotReady")
    if dig(obj, "spec", "unschedulable"):
        state += ",SchedulingDisabled"
    addresses = {one["type"]: one["address"] for one in dig(obj, "status", "addresses", default=[])}
    info = dig(obj, "status", "nodeInfo", default={})
    prefix = "node-role.kubernetes.io/"
    roles = sorted(
        key.removeprefix(prefix) for key in obj["metadata"].get("labels") or {} if key.startswith(prefix)
    )
    return [
        state,
        ",".join(roles) or NONE,
        age(obj),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _binding(obj: Json) -> Cells:
    ref, subjects = obj["roleRef"], obj.get("subjects") or ()

    def named(kind: str) -> str:
        return ", ".join(
            f"{one.get('namespace', '')}/{one['name']}" if kind == "ServiceAccount" else one["name"]
            for one in subjects
            if one.get("kind") == kind
        )

    who = [named(kind) for kind in ("User", "Group", "ServiceAccount")]
    return [f"{ref['kind']}/{ref['name']}", age(obj), *who]


def _signing_request(obj: Json) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = {one["type"] for one in status.get("conditions") or ()}
    state = "Denied" if "Denied" in conditions else "Approved" if "Approved" in conditions else "Pending"
    state += ",Failed" if "Failed" in conditions else ""
    state += ",Issued" if status.get("certificate") else ""
    seconds = spec.get("expirationSeconds")
    return [
        age(obj),
        spec.get("signerName") or NONE,
        spec.get("username", ""),
        ages.duration(seconds) if seconds is not None else NONE,
        state,
    ]


def _volume_claim(obj: Json) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", "")
    bound = bool(spec.get("volumeName"))
    return [
        phase,
        spec.get("volumeName", ""),
        dig(status, "capacity", "storage", default="") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        age(obj),
        spec.get("volumeMode") or "<unset>",
    ]


def _volume(obj: Json) -> Cells:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef") or {}
    return [
        dig(spec, "capacity", "storage", default=""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason", ""),
        age(obj),
        spec.get("volumeMode") or "<unset>",
    ]


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(modes: Iterable[str] | None) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in dict.fromkeys(modes or ()))


def _quota(obj: Json) -> Cells:
    status = obj.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        target = limits if name.startswith("limits") else requests
        target.append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    return [", ".join(requests), ", ".join(limits), age(obj)]


def _storage_class(obj: Json) -> Cells:
    return [
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "<unset>"),
        str(bool(obj.get("allowVolumeExpansion"))).lower(),
        age(obj),
    ]


def _created(obj: Json) -> Cells:
    return [obj["metadata"].get("creationTimestamp", "")]


def _webhooks(obj: Json) -> Cells:
    return [len(obj.get("webhooks") or ()), age(obj)]


def _policy(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    kind = spec.get("paramKind")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"
    return [len(spec.get("validations") or ()), shown, age(obj)]


def _policy_binding(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    ref = spec.get("paramRef")
    shown = "<unset>"
    if ref:
        shown = f"{ref['namespace']}/{ref.get('name', '*')}" if ref.get("namespace") else ref.get("name", "*")
    return [spec.get("policyName", ""), shown, age(obj)]


def _priority_class(obj: Json) -> Cells:
    return [
        obj.get("value", 0),
        str(bool(obj.get("globalDefault"))).lower(),
        age(obj),
        obj.get("preemptionPolicy") or "PreemptLowerPriority",
    ]


def _config_map(obj: Json) -> Cells:
    return [str(len(obj.get("data") or {}) + len(obj.get("binaryData") or {})), age(obj)]


def _secret(obj: Json) -> Cells:
    return [obj.get("type", "Opaque"), str(len(obj.get("data") or {})), age(obj)]


def _namespace(obj: Json) -> Cells:
    return [dig(obj, "status", "phase", default="Active"), age(obj)]


def _lease(obj: Json) -> Cells:
    return [dig(obj, "spec", "holderIdentity", default=""), age(obj)]


def _api_service(obj: Json) -> Cells:
    service = dig(obj, "spec", "service")
    shown = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    conditions = {one["type"]: one for one in dig(obj, "status", "conditions", default=[])}
    available = conditions.get("Available", {})
    reason = f" ({available['reason']})" if available.get("status") == "False" else ""
    return [shown, available.get("status", "Unknown") + reason, age(obj)]


def generic(obj: Json, columns: Iterable[str]) -> Cells:
    """Cells of a resource that nothing on this cluster acts on: its age, and nothing else."""
    known = {"Age": age(obj), "Created At": obj["metadata"].get("creationTimestamp", "")}
    return [known.get(name, NONE) for name in columns]


OF: dict[str, Callable[[Json], Cells]] = {
    "pods": podcells.cells,
    "podtemplates": lambda obj: [
        *template({"spec": obj}),
        labels(dig(obj, "template", "metadata", "labels")),
    ],
    "namespaces": _namespace,
    "services": networkcells.service,
    "endpoints": networkcells.endpoints,
    "events": _event,
    "events.k8s.io/events": _event,
    "nodes": _node,
    "configmaps": _config_map,
    "secrets": _secret,
    "limitranges": _created,
    "resourcequotas": _quota,
    "persistentvolumeclaims": _volume_claim,
    "persistentvolumes": _volume,
    "replicationcontrollers": workloadcells.replication_controller,
    "apps/deployments": workloadcells.deployment,
    "apps/replicasets": workloadcells.replica_set,
    "apps/daemonsets": workloadcells.daemon_set,
    "apps/statefulsets": workloadcells.stateful_set,
    "apps/controllerrevisions": workloadcells.revision,
    "batch/jobs": workloadcells.job,
    "batch/cronjobs": workloadcells.cron_job,
    "autoscaling/horizontalpodautoscalers": workloadcells.autoscaler,
    "policy/poddisruptionbudgets": workloadcells.disruption_budget,
    "discovery.k8s.io/endpointslices": networkcells.endpoint_slice,
    "networking.k8s.io/ingresses": networkcells.ingress,
    "networking.k8s.io/ingressclasses": networkcells.ingress_class,
    "networking.k8s.io/networkpolicies": networkcells.network_policy,
    "networking.k8s.io/servicecidrs": networkcells.service_cidr,
    "networking.k8s.io/ipaddresses": networkcells.ip_address,
    "coordination.k8s.io/leases": _lease,
    "rbac.authorization.k8s.io/roles": _created,
    "rbac.authorization.k8s.io/clusterroles": _created,
    "rbac.authorization.k8s.io/rolebindings": _binding,
    "rbac.authorization.k8s.io/clusterrolebindings": _binding,
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": _webhooks,
    "admissionregistration.k8s.io/validatingwebhookconfigurations": _webhooks,
    "admissionregistration.k8s.io/validatingadmissionpolicies": _policy,
    "admissionregistration.k8s.io/validatingadmissionpolicybindings": _policy_binding,
    "apiextensions.k8s.io/customresourcedefinitions": _created,
    "certificates.k8s.io/certificatesigningrequests": _signing_request,
    "scheduling.k8s.io/priorityclasses": _priority_class,
    "storage.k8s.io/storageclasses": _storage_class,
    "node.k8s.io/runtimeclasses": lambda obj: [obj.get("handler", ""), age(obj)],
    "apiregistration.k8s.io/apiservices": _api_service,
}
