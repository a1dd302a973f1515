"""What istiod may do: roles per revision, so that none takes another's permissions away (pure).

Source: Istio, charts of istiod since 1.11; rules that Linnet's istiod does not need are left out.
"""

from linnet.install.marks import Object, labels, made
from linnet.install.plane import Plane

_READ = ["get", "list", "watch"]
_RBAC = "rbac.authorization.k8s.io/v1"
_ISTIO_GROUPS = [
    "config.istio.io",
    "security.istio.io",
    "networking.istio.io",
    "authentication.istio.io",
    "rbac.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
]


def _rule(groups: list[str], resources: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


def _istiod_rules() -> list[Object]:
    return [
        _rule(
            ["admissionregistration.k8s.io"],
            ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            [*_READ, "update", "patch"],
        ),
        _rule(_ISTIO_GROUPS, ["*"], _READ),
        _rule(
            ["networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io"],
            ["*/status"],
            ["get", "update", "patch"],
        ),
        _rule(["networking.istio.io"], ["workloadentries"], [*_READ, "update", "patch", "create", "delete"]),
        _rule(["apiextensions.k8s.io"], ["customresourcedefinitions"], _READ),
        _rule([""], ["pods", "nodes", "services", "namespaces", "endpoints"], _READ),
        _rule([""], ["services/status"], ["get", "update", "patch"]),
        _rule(["discovery.k8s.io"], ["endpointslices"], _READ),
        _rule(["networking.k8s.io"], ["ingresses", "ingressclasses"], _READ),
        _rule(["networking.k8s.io"], ["ingresses/status"], ["*"]),
        _rule([""], ["configmaps"], ["create", *_READ, "update", "patch"]),
        _rule([""], ["events"], ["create", "patch"]),
        _rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
        _rule(["authorization.k8s.io"], ["subjectaccessreviews"], ["create"]),
        _rule([""], ["secrets"], _READ),
        _rule(["gateway.networking.k8s.io"], ["*"], _READ),
    ]


def _reader_rules() -> list[Object]:
    return [
        _rule(_ISTIO_GROUPS, ["*"], _READ),
        _rule(
            [""],
            ["endpoints", "pods", "services", "nodes", "replicationcontrollers", "namespaces", "secrets"],
            _READ,
        ),
        _rule(["apps"], ["replicasets"], _READ),
        _rule(["apiextensions.k8s.io"], ["customresourcedefinitions"], _READ),
        _rule(["discovery.k8s.io"], ["endpointslices"], _READ),
        _rule(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
        _rule(["authorization.k8s.io"], ["subjectaccessreviews"], ["create"]),
    ]


def _gateway_controller_rules() -> list[Object]:
    write = [*_READ, "update", "patch", "create", "delete"]
    return [
        _rule(["apps"], ["deployments"], write),
        _rule(["autoscaling"], ["horizontalpodautoscalers"], write),
        _rule(["policy"], ["poddisruptionbudgets"], write),
        _rule([""], ["services", "serviceaccounts"], write),
    ]


def _namespace_rules() -> list[Object]:
    return [
        _rule(["networking.istio.io"], ["gateways"], ["create"]),
        _rule([""], ["secrets"], ["create", *_READ, "update", "patch", "delete"]),
        _rule([""], ["configmaps"], ["delete"]),
        _rule(["coordination.k8s.io"], ["leases"], [*_READ, "update", "patch", "create", "delete"]),
    ]


def roles(plane: Plane) -> list[Object]:
    """Service account, roles and bindings of one revision's istiod."""
    marked = labels(plane, "Pilot", {"app": "istiod"})
    subject = {"kind": "ServiceAccount", "name": plane.service, "namespace": plane.namespace}
    reader = {**subject, "name": "istio-reader-service-account"}
    objects = [made("v1", "ServiceAccount", plane.service, marked, namespace=plane.namespace)]
    for prefix, rules, who in (
        ("istiod-clusterrole", _istiod_rules(), subject),
        ("istiod-gateway-controller", _gateway_controller_rules(), subject),
        ("istio-reader-clusterrole", _reader_rules(), reader),
    ):
        name = f"{plane.named(prefix)}-{plane.namespace}"
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        objects.append(made(_RBAC, "ClusterRole", name, marked, rules=rules))
        objects.append(made(_RBAC, "ClusterRoleBinding", name, marked, roleRef=ref, subjects=[who]))
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": plane.service}
    objects.append(
        made(_RBAC, "Role", plane.service, marked, namespace=plane.namespace, rules=_namespace_rules())
    )
    objects.append(
        made(
            _RBAC,
            "RoleBinding",
            plane.service,
            marked,
            namespace=plane.namespace,
            roleRef=role,
            subjects=[subject],
        )
    )
    return objects
