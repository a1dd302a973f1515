"""The roles and bindings that exist on every cluster.

`data/roles.json` has their rules, one a line: `groups: resources: verbs`, separated by commas, `core` for
the core group, or `url: paths: verbs`. Names follow Kubernetes; controllers may do what they work on.

Source: Kubernetes, default ClusterRoles of RBAC (names recorded from v1.35.4).
"""

from importlib.resources import files
from typing import Any

import orjson

Json = dict[str, Any]
Rules = dict[str, list[str]]

_GROUP = "rbac.authorization.k8s.io"
_SIGNERS = "system:certificates.k8s.io:"
_EVENTS = "core,events.k8s.io: events: create,patch,update"
_APPROVERS = {
    "kube-apiserver-client-approver": "kubernetes.io/kube-apiserver-client",
    "kube-apiserver-client-kubelet-approver": "kubernetes.io/kube-apiserver-client-kubelet",
    "kubelet-serving-approver": "kubernetes.io/kubelet-serving",
    "legacy-unknown-approver": "kubernetes.io/legacy-unknown",
}
_AGGREGATED = {"admin": ("admin", "edit", "view"), "edit": ("edit", "view"), "view": ("view",)}

_GROUPS = "Group"
_USERS = "User"
_CLUSTER_BINDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "cluster-admin": ((_GROUPS, "system:masters"),),
    "system:basic-user": ((_GROUPS, "system:authenticated"),),
    "system:discovery": ((_GROUPS, "system:authenticated"),),
    "system:public-info-viewer": ((_GROUPS, "system:authenticated"), (_GROUPS, "system:unauthenticated")),
    "system:monitoring": ((_GROUPS, "system:monitoring"),),
    "system:kube-controller-manager": ((_USERS, "system:kube-controller-manager"),),
    "system:kube-dns": (("ServiceAccount", "kube-dns"),),
    "system:kube-scheduler": ((_USERS, "system:kube-scheduler"),),
    "system:volume-scheduler": ((_USERS, "system:kube-scheduler"),),
    "system:node": (),
    "system:node-proxier": ((_USERS, "system:kube-proxy"),),
    "system:service-account-issuer-discovery": ((_GROUPS, "system:serviceaccounts"),),
}
_SYSTEM = "kube-system"
_ROLE_SUBJECTS: dict[str, tuple[tuple[str, str], ...]] = {
    "extension-apiserver-authentication-reader": (
        (_USERS, "system:kube-controller-manager"),
        (_USERS, "system:kube-scheduler"),
    ),
    "system::leader-locking-kube-controller-manager": ((_USERS, "system:kube-controller-manager"),),
    "system::leader-locking-kube-scheduler": ((_USERS, "system:kube-scheduler"),),
}


def objects() -> list[Json]:
    """Every default role and binding."""
    rules: Json = orjson.loads(files("linnet.local.api").joinpath("data", "roles.json").read_bytes())
    cluster, controllers = rules["clusterRoles"], rules["controllers"]
    roles = {tuple(path.split("/", 1)): texts for path, texts in rules["roles"].items()}
    return [
        *_cluster_roles(cluster),
        *_approvers(),
        *_controllers(controllers),
        *_cluster_bindings(controllers),
        *_roles(roles),
        *_role_bindings(roles),
    ]


def rule(text: str) -> Json:
    """One rule from its short form."""
    first, second, verbs = (part.strip().split(",") for part in text.rsplit(": ", 2))
    if first == ["url"]:
        return {"verbs": verbs, "nonResourceURLs": second}
    groups = ["" if group == "core" else group for group in first]
    return {"verbs": verbs, "apiGroups": groups, "resources": second}


def _cluster_roles(rules: Rules) -> list[Json]:
    made = []
    for name, texts in rules.items():
        role = _object("ClusterRole", name, "", rules=[rule(text) for text in texts])
        if name in _AGGREGATED:
            role["aggregationRule"] = {
                "clusterRoleSelectors": [
                    {"matchLabels": {f"{_GROUP}/aggregate-to-{name}": "true"}},
                ]
            }
            for wider, narrower in _AGGREGATED.items():
                if wider != name and name in narrower:
                    role["metadata"]["labels"][f"{_GROUP}/aggregate-to-{wider}"] = "true"
        elif name.startswith("system:aggregate-to-"):
            role["metadata"]["labels"][f"{_GROUP}/{name.removeprefix('system:')}"] = "true"
        made.append(role)
    return made


def _approvers() -> list[Json]:
    approve = rule("certificates.k8s.io: signers: approve")
    return [
        _object("ClusterRole", _SIGNERS + approver, "", rules=[{**approve, "resourceNames": [signer]}])
        for approver, signer in _APPROVERS.items()
    ]


def _controllers(rules: Rules) -> list[Json]:
    """What each controller works on; every one also writes events."""
    return [
        _object(
            "ClusterRole", f"system:controller:{name}", "", rules=[rule(text) for text in (*texts, _EVENTS)]
        )
        for name, texts in rules.items()
    ]


def _cluster_bindings(controllers: Rules) -> list[Json]:
    bound = {
        **_CLUSTER_BINDINGS,
        **{f"system:controller:{name}": (("ServiceAccount", name),) for name in controllers},
    }
    return [_binding("ClusterRoleBinding", name, "", who) for name, who in bound.items()]


def _roles(rules: dict[tuple[str, ...], list[str]]) -> list[Json]:
    return [
        _object("Role", name, namespace, rules=[rule(text) for text in texts])
        for (namespace, name), texts in rules.items()
    ]


def _role_bindings(rules: dict[tuple[str, ...], list[str]]) -> list[Json]:
    made = []
    for namespace, name in rules:
        short = name.removeprefix("system:controller:")
        who = _ROLE_SUBJECTS.get(name, (("ServiceAccount", short),))
        shown = f"system::{name}" if name == "extension-apiserver-authentication-reader" else name
        made.append(_binding("RoleBinding", shown, namespace, who, role=name))
    return made


def _binding(kind: str, name: str, namespace: str, who: tuple[tuple[str, str], ...], role: str = "") -> Json:
    ref = {
        "apiGroup": _GROUP,
        "kind": "Role" if namespace else "ClusterRole",
        "name": role or name,
    }
    subjects = [
        {"kind": subject, "name": named, "namespace": _SYSTEM}
        if subject == "ServiceAccount"
        else {"apiGroup": _GROUP, "kind": subject, "name": named}
        for subject, named in who
    ]
    return _object(kind, name, namespace, roleRef=ref, **({"subjects": subjects} if subjects else {}))


def _object(kind: str, name: str, namespace: str, **content: Any) -> Json:
    metadata: Json = {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {f"{_GROUP}/autoupdate": "true"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": metadata, **content}
