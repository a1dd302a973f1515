"""What Kubernetes refuses in objects of built-in kinds, and what it does not let users change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linnet.local.api import hookchecks, kindchecks, metachecks, podchecks, servicechecks, workloadchecks
from linnet.local.api.causes import Cause, required

Json = dict[str, Any]
Check = Callable[[Json, Json | None, str], list[Cause]]

_HOOKS = "admissionregistration.k8s.io"
_RBAC = "rbac.authorization.k8s.io"


def causes(
    group: str, kind: str, obj: Json, old: Json | None = None, *, namespaced: bool, subresource: str = ""
) -> list[Cause]:
    """Violations in the order in which Kubernetes reports them; metadata is checked for every kind.

    `old` is the stored object of an update, None for a create. `obj` already has its defaults.
    """
    found = metachecks.metadata(group, kind, obj)
    if namespaced and not obj["metadata"].get("namespace"):
        found.append(required("metadata.namespace"))
    check = _KINDS.get((group, kind))
    return [*found, *check(obj, old, subresource)] if check is not None else found


_KINDS: dict[tuple[str, str], Check] = {
    ("", "Pod"): podchecks.pod,
    ("", "Namespace"): kindchecks.namespace,
    ("", "Service"): servicechecks.service,
    ("", "ConfigMap"): kindchecks.config_map,
    ("", "Secret"): kindchecks.secret,
    ("", "Endpoints"): kindchecks.endpoints,
    ("", "Event"): kindchecks.event,
    ("apps", "Deployment"): workloadchecks.deployment,
    ("apps", "ReplicaSet"): workloadchecks.replica_set,
    ("apps", "StatefulSet"): workloadchecks.stateful_set,
    ("apps", "DaemonSet"): workloadchecks.daemon_set,
    ("batch", "Job"): workloadchecks.job,
    ("batch", "CronJob"): workloadchecks.cron_job,
    ("autoscaling", "HorizontalPodAutoscaler"): kindchecks.autoscaler,
    ("policy", "PodDisruptionBudget"): kindchecks.disruption_budget,
    ("coordination.k8s.io", "Lease"): kindchecks.lease,
    ("discovery.k8s.io", "EndpointSlice"): kindchecks.endpoint_slice,
    ("networking.k8s.io", "Ingress"): kindchecks.ingress,
    (_RBAC, "Role"): kindchecks.role,
    (_RBAC, "ClusterRole"): kindchecks.role,
    (_RBAC, "RoleBinding"): kindchecks.role_binding,
    (_RBAC, "ClusterRoleBinding"): kindchecks.role_binding,
    (_HOOKS, "MutatingWebhookConfiguration"): hookchecks.webhooks,
    (_HOOKS, "ValidatingWebhookConfiguration"): hookchecks.webhooks,
}
