"""The values that built-in kinds get when the user leaves them out.

Source: Kubernetes 1.35, the `SetDefaults_*` functions, observed behaviour.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from linnet.local.api import poddefaults
from linnet.local.api.copies import copied
from linnet.local.api.poddefaults import fill, template

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"
_AFFINITY_SECONDS = 10800
_DEFAULT_UTILIZATION = 80
_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def defaulted(group: str, version: str, kind: str, obj: Json) -> Json:
    """The object with its defaults; the given one is not changed. Other kinds come back as they are.

    Addresses, node ports, names and other allocations are not defaults: the REST layer makes them.
    """
    complete = _KINDS.get((group, kind))
    if complete is None:
        return obj
    out = copied(obj)
    if kind == "HorizontalPodAutoscaler" and version == "v1":
        fill(out.setdefault("spec", {}), minReplicas=1)
        return out
    complete(out)
    return out


def _spec(obj: Json) -> Json:
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    found: Json = spec
    return found


def _deployment(obj: Json) -> None:
    spec = _spec(obj)
    template(spec)
    fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    strategy = spec["strategy"]
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(strategy, rollingUpdate={})
        fill(strategy["rollingUpdate"], maxSurge="25%", maxUnavailable="25%")
    fill(obj, status={})


def _replica_set(obj: Json) -> None:
    spec = _spec(obj)
    template(spec)
    fill(spec, replicas=1)
    fill(obj, status={"replicas": 0})


def _replication_controller(obj: Json) -> None:
    spec = _spec(obj)
    template(spec)
    fill(spec, replicas=1)
    labels = spec["template"]["metadata"].get("labels")
    if labels:
        fill(spec, selector=dict(labels))
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
    fill(obj, status={"replicas": 0})


def _stateful_set(obj: Json) -> None:
    spec = _spec(obj)
    template(spec)
    fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={})
    fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        fill(spec["updateStrategy"], rollingUpdate={})
        fill(spec["updateStrategy"]["rollingUpdate"], partition=0)
    fill(spec, persistentVolumeClaimRetentionPolicy={})
    fill(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    fill(obj, status={"replicas": 0, "availableReplicas": 0})


def _daemon_set(obj: Json) -> None:
    spec = _spec(obj)
    template(spec)
    fill(spec, revisionHistoryLimit=10, updateStrategy={})
    fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        fill(spec["updateStrategy"], rollingUpdate={})
        fill(spec["updateStrategy"]["rollingUpdate"], maxSurge=0, maxUnavailable=1)
    counts = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
    fill(obj, status=dict.fromkeys(counts, 0))


def _job_spec(spec: Json) -> None:
    template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec.update(completions=1, parallelism=1)
    fill(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    fill(spec, manualSelector=False, podReplacementPolicy="TerminatingOrFailed")


def _job(obj: Json) -> None:
    spec = _spec(obj)
    _job_spec(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)
    fill(obj, status={})


def _cron_job(obj: Json) -> None:
    spec = _spec(obj)
    fill(spec, concurrencyPolicy="Allow", suspend=False)
    fill(spec, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    fill(spec, jobTemplate={})
    fill(spec["jobTemplate"], metadata={}, spec={})
    template(spec["jobTemplate"]["spec"])
    fill(obj, status={})


def _service(obj: Json) -> None:
    spec = _spec(obj)
    fill(spec, type="ClusterIP", sessionAffinity="None")
    if spec["sessionAffinity"] == "ClientIP":
        fill(spec, sessionAffinityConfig={})
        fill(spec["sessionAffinityConfig"], clientIP={})
        fill(spec["sessionAffinityConfig"]["clientIP"], timeoutSeconds=_AFFINITY_SECONDS)
    for port in spec.get("ports") or ():
        fill(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, "") and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] != "ExternalName":
        fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
        fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        fill(spec, allocateLoadBalancerNodePorts=True)
    fill(obj, status={})
    fill(obj["status"], loadBalancer={})


def _endpoints(obj: Json) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            fill(port, protocol="TCP")


def _endpoint_slice(obj: Json) -> None:
    for port in obj.get("ports") or ():
        fill(port, name="", protocol="TCP")


def _secret(obj: Json) -> None:
    fill(obj, type="Opaque")
    plain = obj.pop("stringData", None) or {}
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _namespace(obj: Json) -> None:
    name = obj["metadata"].get("name")
    if name:
        labels = obj["metadata"].get("labels")
        if labels is None:
            labels = obj["metadata"]["labels"] = {}
        fill(labels, **{"kubernetes.io/metadata.name": name})
    fill(obj, status={})
    fill(obj["status"], phase="Active")


def _autoscaler(obj: Json) -> None:
    spec = _spec(obj)
    fill(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _DEFAULT_UTILIZATION}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if behavior := spec.get("behavior"):
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        for name, policies in (
            ("scaleUp", [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent]),
            ("scaleDown", [percent]),
        ):
            fill(behavior, **{name: {}})
            fill(behavior[name], selectPolicy="Max", policies=copied(policies))
        fill(behavior["scaleUp"], stabilizationWindowSeconds=0)
    fill(obj, status={"currentMetrics": None, "desiredReplicas": 0})


def _disruption_budget(obj: Json) -> None:
    counts = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")
    fill(obj, status=dict.fromkeys(counts, 0))


def _binding(obj: Json) -> None:
    fill(obj.setdefault("roleRef", {}), apiGroup=_RBAC)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            fill(subject, apiGroup=_RBAC)


def _role(obj: Json) -> None:
    obj.setdefault("rules", None)  # never left out, as Kubernetes writes it


def _webhooks(obj: Json, *, mutating: bool) -> None:
    for hook in obj.get("webhooks") or ():
        fill(hook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        fill(hook, namespaceSelector={}, objectSelector={})
        if mutating:
            fill(hook, reinvocationPolicy="Never")
        for rule in hook.get("rules") or ():
            fill(rule, scope="*")
        if service := (hook.get("clientConfig") or {}).get("service"):
            fill(service, port=443)


def _mutating(obj: Json) -> None:
    _webhooks(obj, mutating=True)


def _validating(obj: Json) -> None:
    _webhooks(obj, mutating=False)


def _match_resources(match: Json) -> None:
    fill(match, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(name) or ():
            fill(rule, scope="*")


def _policy(obj: Json) -> None:
    spec = _spec(obj)
    fill(spec, failurePolicy="Fail")
    if match := spec.get("matchConstraints"):
        _match_resources(match)
    fill(obj, status={})


def _policy_binding(obj: Json) -> None:
    if match := _spec(obj).get("matchResources"):
        _match_resources(match)


def _definition(obj: Json) -> None:
    spec = _spec(obj)
    fill(spec, conversion={"strategy": "None"}, names={})
    names = spec["names"]
    if kind := names.get("kind"):
        fill(names, singular=kind.lower(), listKind=f"{kind}List")
    if service := ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service"):
        fill(service, port=443)


def _network_policy(obj: Json) -> None:
    spec = _spec(obj)
    fill(spec, podSelector={})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") is not None else [])]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            fill(port, protocol="TCP")


def _claim(obj: Json) -> None:
    fill(_spec(obj), volumeMode="Filesystem")
    fill(obj, status={})
    fill(obj["status"], phase="Pending")


def _volume(obj: Json) -> None:
    fill(_spec(obj), volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
    fill(obj, status={})
    fill(obj["status"], phase="Pending")


def _storage_class(obj: Json) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _priority_class(obj: Json) -> None:
    fill(obj, preemptionPolicy="PreemptLowerPriority")


def _limit_range(obj: Json) -> None:
    for limit in _spec(obj).get("limits") or ():
        if limit.get("type") != "Container":
            continue
        default = {**(limit.get("max") or {}), **(limit.get("default") or {})}
        if default:
            limit["default"] = default
        request = {**default, **(limit.get("min") or {}), **(limit.get("defaultRequest") or {})}
        request = {
            name: (limit.get("defaultRequest") or {}).get(name, value) for name, value in request.items()
        }
        if request:
            limit["defaultRequest"] = request


def _node(obj: Json) -> None:
    fill(obj, spec={}, status={})
    fill(obj["status"], daemonEndpoints={}, nodeInfo={})
    fill(obj["status"]["daemonEndpoints"], kubeletEndpoint={"Port": 0})
    fill(obj["status"]["nodeInfo"], **dict.fromkeys(_NODE_INFO, ""))


def _with_status(obj: Json) -> None:
    fill(obj, status={})


def _ingress(obj: Json) -> None:
    fill(obj, status={})
    fill(obj["status"], loadBalancer={})


_KINDS: dict[tuple[str, str], Callable[[Json], None]] = {
    ("", "Pod"): poddefaults.pod,
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("", "Secret"): _secret,
    ("", "Namespace"): _namespace,
    ("", "ReplicationController"): _replication_controller,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("", "LimitRange"): _limit_range,
    ("", "ResourceQuota"): _with_status,
    ("", "PodTemplate"): template,
    ("", "Node"): _node,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("policy", "PodDisruptionBudget"): _disruption_budget,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    (_RBAC, "Role"): _role,
    (_RBAC, "ClusterRole"): _role,
    (_RBAC, "RoleBinding"): _binding,
    (_RBAC, "ClusterRoleBinding"): _binding,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _mutating,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _validating,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): _policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _policy_binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
}
