"""What stands in the cells of a table: one function per resource, in the order of its columns after the name.

Source: the printers of Kubernetes; observed with 1.35.
"""

from collections.abc import Callable, Iterable
from typing import Any

from linnet.local.api import ages, podcells, selectors

Json = dict[str, Any]
Cells = list[Any]

_NONE = "<none>"


def dig(obj: Any, *path: str, default: Any = None) -> Any:
    """The value at a path of field names."""
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
        if obj is None:
            return default
    return obj


def age(obj: Json) -> str:
    return ages.since(dig(obj, "metadata", "creationTimestamp"))


def selector(of: Json | None) -> str:
    return selectors.query(of) or _NONE


def labels(of: Json | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((of or {}).items())) or _NONE


def limited(values: Iterable[str], most: int = 3) -> str:
    """`a,b,c + 2 more...`."""
    found = list(values)
    shown = ",".join(found[:most])
    return f"{shown} + {len(found) - most} more..." if len(found) > most else shown


def _template(obj: Json) -> tuple[str, str]:
    """The names and images of the containers of a pod template."""
    listed = dig(obj, "spec", "template", "spec", "containers", default=[])
    return ",".join(one["name"] for one in listed), ",".join(one.get("image", "") for one in listed)


def _deployment(obj: Json) -> Cells:
    status = obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{dig(obj, 'spec', 'replicas', default=1)}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [ready, *counts, age(obj), *_template(obj), selector(dig(obj, "spec", "selector"))]


def _replica_set(obj: Json) -> Cells:
    status = obj.get("status") or {}
    counts = [
        dig(obj, "spec", "replicas", default=1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
    ]
    return [*counts, age(obj), *_template(obj), selector(dig(obj, "spec", "selector"))]


def _replication_controller(obj: Json) -> Cells:
    return [*_replica_set(obj)[:-1], labels(dig(obj, "spec", "selector"))]


def _daemon_set(obj: Json) -> Cells:
    status = obj.get("status") or {}
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [status.get(name, 0) for name in names]
    chosen = labels(dig(obj, "spec", "template", "spec", "nodeSelector"))
    return [*counts, chosen, age(obj), *_template(obj), selector(dig(obj, "spec", "selector"))]


def _stateful_set(obj: Json) -> Cells:
    ready = dig(obj, "status", "readyReplicas", default=0)
    return [f"{ready}/{dig(obj, 'spec', 'replicas', default=1)}", age(obj), *_template(obj)]


def _service(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    ports = [
        f"{port['port']}"
        + (f":{port['nodePort']}" if port.get("nodePort") else "")
        + f"/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports") or ()
    ]
    return [
        kind,
        spec.get("clusterIP") or _NONE,
        _external(kind, obj),
        ",".join(ports) or _NONE,
        age(obj),
        labels(spec.get("selector")),
    ]


def _external(kind: str, obj: Json) -> str:
    """The address from outside."""
    spec = obj["spec"]
    given = ",".join(spec.get("externalIPs") or ())
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        reported = _ingress_addresses(obj)
        return ",".join(part for part in (reported, given) if part) or "<pending>"
    return given or _NONE


def _ingress_addresses(obj: Json) -> str:
    entries = dig(obj, "status", "loadBalancer", "ingress", default=[])
    return ",".join(entry.get("ip") or entry.get("hostname", "") for entry in entries)


def _job(obj: Json) -> Cells:
    status, spec = obj.get("status") or {}, obj["spec"]
    done = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
    state = next(
        (shown for kind, shown in _JOB_STATES.items() if kind in done),
        "Terminating" if obj["metadata"].get("deletionTimestamp") else "Running",
    )
    wanted = spec.get("completions")
    if wanted is not None:
        completions = f"{status.get('succeeded', 0)}/{wanted}"
    else:
        parallel = spec.get("parallelism", 1)
        completions = f"{status.get('succeeded', 0)}/1" + (f" of {parallel}" if parallel > 1 else "")
    took = ""
    if status.get("startTime"):
        took = ages.since(status["startTime"])
        if status.get("completionTime"):
            end, start = ages.moment(status["completionTime"]), ages.moment(status["startTime"])
            took = ages.duration((end - start).total_seconds())
    return [state, completions, took, age(obj), *_template(obj), selector(spec.get("selector"))]


_JOB_STATES = {
    "Complete": "Complete",
    "Failed": "Failed",
    "Suspended": "Suspended",
    "FailureTarget": "FailureTarget",
    "SuccessCriteriaMet": "SuccessCriteriaMet",
}


def _cron_job(obj: Json) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    last = ages.since(status["lastScheduleTime"]) if status.get("lastScheduleTime") else _NONE
    job = spec.get("jobTemplate") or {}
    return [
        spec.get("schedule", ""),
        spec.get("timeZone") or _NONE,
        str(bool(spec.get("suspend"))),
        len(status.get("active") or ()),
        last,
        age(obj),
        *_template(job),
        selector(dig(job, "spec", "selector")),
    ]


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
        ",".join(roles) or _NONE,
        age(obj),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _autoscaler(obj: Json) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    target = spec["scaleTargetRef"]
    return [
        f"{target['kind']}/{target['name']}",
        _targets(spec, status),
        str(spec["minReplicas"]) if "minReplicas" in spec else "<unset>",
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj),
    ]


def _targets(spec: Json, status: Json) -> str:
    """`cpu: <unknown>/80%` for every metric, the current value if somebody measured it."""
    metrics = spec.get("metrics")
    if metrics is None and "targetCPUUtilizationPercentage" in spec:
        return f"cpu: <unknown>/{spec['targetCPUUtilizationPercentage']}%"
    shown = []
    current = status.get("currentMetrics") or []
    for at, metric in enumerate(metrics or ()):
        resource = metric.get("resource")
        if resource is None:
            shown.append("<unknown>")
            continue
        wanted = resource.get("target", {})
        now = dig(current[at], "resource", "current", default={}) if at < len(current) else {}
        if "averageUtilization" in wanted:
            have = f"{now['averageUtilization']}%" if "averageUtilization" in now else "<unknown>"
            shown.append(f"{resource['name']}: {have}/{wanted['averageUtilization']}%")
        else:
            have = now.get("averageValue") or "<unknown>"
            shown.append(f"{resource['name']}: {have}/{wanted.get('averageValue', '<auto>')}")
    if len(shown) > 2:  # as many as Kubernetes shows
        return f"{', '.join(shown[:2])} + {len(shown) - 2} more..."
    return ", ".join(shown) or _NONE


def _disruption_budget(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    return [
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        dig(obj, "status", "disruptionsAllowed", default=0),
        age(obj),
    ]


def _endpoints(obj: Json) -> Cells:
    found = []
    for subset in obj.get("subsets") or ():
        for address in subset.get("addresses") or ():
            ports = subset.get("ports") or ()
            found += [f"{address['ip']}:{port['port']}" for port in ports] or [address["ip"]]
    return [limited(found) or _NONE, age(obj)]


def _endpoint_slice(obj: Json) -> Cells:
    ports = [str(port.get("port") or "*") for port in obj.get("ports") or ()]
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [
        obj.get("addressType", ""),
        limited(ports) or "<unset>",
        limited(addresses) or "<unset>",
        age(obj),
    ]


def _ingress(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        spec.get("ingressClassName") or _NONE,
        limited(hosts) or "*",
        _ingress_addresses(obj),
        "80, 443" if spec.get("tls") else "80",
        age(obj),
    ]


def _ingress_class(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    parameters = spec.get("parameters")
    shown = _NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    return [spec.get("controller", ""), shown, age(obj)]


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
        spec.get("signerName") or _NONE,
        spec.get("username", ""),
        ages.duration(seconds) if seconds is not None else _NONE,
        state,
    ]


def _revision(obj: Json) -> Cells:
    owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    shown = _NONE
    if owner:
        group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
        shown = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [shown, obj.get("revision", 0), age(obj)]


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


def _network_policy(obj: Json) -> Cells:
    return [selector(dig(obj, "spec", "podSelector")), age(obj)]


def _service_cidr(obj: Json) -> Cells:
    return [",".join(dig(obj, "spec", "cidrs", default=[])), age(obj)]


def _ip_address(obj: Json) -> Cells:
    ref = dig(obj, "spec", "parentRef", default={})
    group = f".{ref['group']}" if ref.get("group") else ""
    return [f"{ref.get('resource', '')}{group}/{ref.get('namespace', '')}/{ref.get('name', '')}"]


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
    return [known.get(name, _NONE) for name in columns]


OF: dict[str, Callable[[Json], Cells]] = {
    "pods": podcells.cells,
    "podtemplates": lambda obj: [
        *_template({"spec": obj}),
        labels(dig(obj, "template", "metadata", "labels")),
    ],
    "namespaces": _namespace,
    "services": _service,
    "endpoints": _endpoints,
    "events": _event,
    "events.k8s.io/events": _event,
    "nodes": _node,
    "configmaps": _config_map,
    "secrets": _secret,
    "limitranges": _created,
    "resourcequotas": _quota,
    "persistentvolumeclaims": _volume_claim,
    "persistentvolumes": _volume,
    "replicationcontrollers": _replication_controller,
    "apps/deployments": _deployment,
    "apps/replicasets": _replica_set,
    "apps/daemonsets": _daemon_set,
    "apps/statefulsets": _stateful_set,
    "apps/controllerrevisions": _revision,
    "batch/jobs": _job,
    "batch/cronjobs": _cron_job,
    "autoscaling/horizontalpodautoscalers": _autoscaler,
    "policy/poddisruptionbudgets": _disruption_budget,
    "discovery.k8s.io/endpointslices": _endpoint_slice,
    "networking.k8s.io/ingresses": _ingress,
    "networking.k8s.io/ingressclasses": _ingress_class,
    "networking.k8s.io/networkpolicies": _network_policy,
    "networking.k8s.io/servicecidrs": _service_cidr,
    "networking.k8s.io/ipaddresses": _ip_address,
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
