"""The cells of workloads and of what scales and guards them.

Source: the printers of Kubernetes; observed with 1.35.
"""

from typing import Any

from linnet.local.api import ages
from linnet.local.api.cellparts import NONE, age, dig, labels, selector, template

Json = dict[str, Any]
Cells = list[Any]


def deployment(obj: Json) -> Cells:
    status = obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{dig(obj, 'spec', 'replicas', default=1)}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    return [ready, *counts, age(obj), *template(obj), selector(dig(obj, "spec", "selector"))]


def replica_set(obj: Json) -> Cells:
    status = obj.get("status") or {}
    counts = [
        dig(obj, "spec", "replicas", default=1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
    ]
    return [*counts, age(obj), *template(obj), selector(dig(obj, "spec", "selector"))]


def replication_controller(obj: Json) -> Cells:
    return [*replica_set(obj)[:-1], labels(dig(obj, "spec", "selector"))]


def daemon_set(obj: Json) -> Cells:
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
    return [*counts, chosen, age(obj), *template(obj), selector(dig(obj, "spec", "selector"))]


def stateful_set(obj: Json) -> Cells:
    ready = dig(obj, "status", "readyReplicas", default=0)
    return [f"{ready}/{dig(obj, 'spec', 'replicas', default=1)}", age(obj), *template(obj)]


def job(obj: Json) -> Cells:
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
    return [state, completions, took, age(obj), *template(obj), selector(spec.get("selector"))]


_JOB_STATES = {
    "Complete": "Complete",
    "Failed": "Failed",
    "Suspended": "Suspended",
    "FailureTarget": "FailureTarget",
    "SuccessCriteriaMet": "SuccessCriteriaMet",
}


def cron_job(obj: Json) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    last = ages.since(status["lastScheduleTime"]) if status.get("lastScheduleTime") else NONE
    job = spec.get("jobTemplate") or {}
    return [
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        str(bool(spec.get("suspend"))),
        len(status.get("active") or ()),
        last,
        age(obj),
        *template(job),
        selector(dig(job, "spec", "selector")),
    ]


def autoscaler(obj: Json) -> Cells:
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
    return ", ".join(shown) or NONE


def disruption_budget(obj: Json) -> Cells:
    spec = obj.get("spec") or {}
    return [
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        dig(obj, "status", "disruptionsAllowed", default=0),
        age(obj),
    ]


def revision(obj: Json) -> Cells:
    owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    shown = NONE
    if owner:
        group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
        shown = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [shown, obj.get("revision", 0), age(obj)]
