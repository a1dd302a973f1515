"""The roles and bindings that exist on every cluster.

Rules are written `groups: resources: verbs`, groups and resources separated by commas, `core` for the core group;
`url: paths: verbs` for other paths. Names follow Kubernetes; what a controller may do is what this cluster's own
controllers and common add-ons need.

Source: Kubernetes, default ClusterRoles of RBAC (names recorded from v1.35.4).
"""

from typing import Any

Json = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
_READ = "get,list,watch"
_WRITE = "create,delete,deletecollection,patch,update"
_EVENTS = "core,events.k8s.io: events: create,patch,update"

_VIEWED = (
    f"core: configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,"
    f"replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status: {_READ}",
    f"core: bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status,"
    f"resourcequotas,resourcequotas/status: {_READ}",
    f"core: namespaces: {_READ}",
    f"discovery.k8s.io: endpointslices: {_READ}",
    f"apps: controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,"
    f"replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status: {_READ}",
    f"autoscaling: horizontalpodautoscalers,horizontalpodautoscalers/status: {_READ}",
    f"batch: cronjobs,cronjobs/status,jobs,jobs/status: {_READ}",
    f"policy: poddisruptionbudgets,poddisruptionbudgets/status: {_READ}",
    f"networking.k8s.io: ingresses,ingresses/status,networkpolicies: {_READ}",
)
_EDITED = (
    f"core: pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy: {_READ}",
    "core: serviceaccounts: impersonate",
    f"core: pods,pods/attach,pods/exec,pods/portforward,pods/proxy: {_WRITE}",
    "core: pods/eviction: create",
    f"core: configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,"
    f"secrets,serviceaccounts,services,services/proxy: {_WRITE}",
    "core: serviceaccounts/token: create",
    f"apps: daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,"
    f"statefulsets,statefulsets/scale: {_WRITE}",
    f"autoscaling: horizontalpodautoscalers: {_WRITE}",
    f"batch: cronjobs,jobs: {_WRITE}",
    f"policy: poddisruptionbudgets: {_WRITE}",
    f"networking.k8s.io: ingresses,networkpolicies: {_WRITE}",
    f"coordination.k8s.io: leases: {_READ},{_WRITE}",
)
_ADMINISTERED = (
    "authorization.k8s.io: localsubjectaccessreviews: create",
    f"{_GROUP}: rolebindings,roles: {_READ},{_WRITE}",
)
_NODE = (
    "authentication.k8s.io: tokenreviews: create",
    "authorization.k8s.io: localsubjectaccessreviews,subjectaccessreviews: create",
    f"core: services: {_READ}",
    f"core: nodes: create,{_READ},delete,patch,update",
    "core: nodes/status: patch,update",
    _EVENTS,
    f"core: pods: {_READ},create,delete",
    "core: pods/status: patch,update",
    "core: pods/eviction: create",
    f"core: configmaps,secrets: {_READ}",
    "core: persistentvolumeclaims,persistentvolumes: get",
    "core: persistentvolumeclaims/status: get,patch,update",
    f"certificates.k8s.io: certificatesigningrequests: create,{_READ}",
    "coordination.k8s.io: leases: create,delete,get,patch,update",
    f"storage.k8s.io: volumeattachments,csidrivers: {_READ}",
    "storage.k8s.io: csinodes: create,delete,get,patch,update",
    f"node.k8s.io: runtimeclasses: {_READ}",
    "core: serviceaccounts/token: create",
    f"core: serviceaccounts: {_READ}",
)
_PROXIER = (
    f"core: endpoints,services,nodes,namespaces: {_READ}",
    f"discovery.k8s.io: endpointslices: {_READ}",
    f"networking.k8s.io: servicecidrs: {_READ}",
    _EVENTS,
)
_SCHEDULER = (
    _EVENTS,
    f"core: pods,nodes,namespaces,replicationcontrollers,services,persistentvolumeclaims,persistentvolumes: {_READ}",
    "core: pods: delete",
    "core: bindings,pods/binding: create",
    "core: pods/status: patch,update",
    f"apps: replicasets,statefulsets: {_READ}",
    f"policy: poddisruptionbudgets: {_READ}",
    f"storage.k8s.io: csidrivers,csinodes,csistoragecapacities,storageclasses: {_READ}",
    "coordination.k8s.io: leases: create,get,list,update,watch",
    "authentication.k8s.io: tokenreviews: create",
    "authorization.k8s.io: subjectaccessreviews: create",
)
_MANAGER = (
    _EVENTS,
    f"core: configmaps,endpoints,namespaces,secrets,serviceaccounts: {_READ},{_WRITE}",
    "core: serviceaccounts/token: create",
    "coordination.k8s.io: leases: create,get,list,update,watch",
    "authentication.k8s.io: tokenreviews: create",
    "authorization.k8s.io: subjectaccessreviews: create",
    "*: *: list,watch",
)
_DISCOVERY = "/api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/"
_PUBLIC = "/healthz,/livez,/readyz,/version,/version/"
_SIGNERS = "system:certificates.k8s.io:"

_CLUSTER_ROLES: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("*: *: *", "url: *: *"),
    "admin": (*_ADMINISTERED, *_EDITED, *_VIEWED),
    "edit": (*_EDITED, *_VIEWED),
    "view": _VIEWED,
    "system:aggregate-to-admin": _ADMINISTERED,
    "system:aggregate-to-edit": _EDITED,
    "system:aggregate-to-view": _VIEWED,
    "system:auth-delegator": (
        "authentication.k8s.io: tokenreviews: create",
        "authorization.k8s.io: subjectaccessreviews: create",
    ),
    "system:basic-user": (
        "authorization.k8s.io: selfsubjectaccessreviews,selfsubjectrulesreviews: create",
        "authentication.k8s.io: selfsubjectreviews: create",
    ),
    "system:discovery": (f"url: {_DISCOVERY}: get",),
    "system:public-info-viewer": (f"url: {_PUBLIC}: get",),
    "system:monitoring": (
        "url: /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*: get",
    ),
    "system:service-account-issuer-discovery": (
        "url: /.well-known/openid-configuration,/.well-known/openid-configuration/,"
        "/openid/v1/jwks,/openid/v1/jwks/: get",
    ),
    "system:heapster": (
        "core: events,namespaces,nodes,pods: get,list,watch",
        "apps: deployments: get,list,watch",
        "core: nodes/stats: get",
    ),
    "system:kube-aggregator": ("core: endpoints,services: get,list,watch",),
    "system:kube-controller-manager": _MANAGER,
    "system:kube-dns": (
        "core: endpoints,services: list,watch",
        "discovery.k8s.io: endpointslices: list,watch",
    ),
    "system:kube-scheduler": _SCHEDULER,
    "system:volume-scheduler": (
        f"core: persistentvolumes: {_READ},patch,update",
        f"storage.k8s.io: storageclasses: {_READ}",
        f"core: persistentvolumeclaims: {_READ},patch,update",
    ),
    "system:kubelet-api-admin": (
        "core: nodes: get,list,watch",
        "core: nodes: proxy",
        "core: nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/stats: *",
    ),
    "system:node": _NODE,
    "system:node-bootstrapper": ("certificates.k8s.io: certificatesigningrequests: create,get,list,watch",),
    "system:node-problem-detector": ("core: nodes: get", "core: nodes/status: patch", _EVENTS),
    "system:node-proxier": _PROXIER,
    "system:persistent-volume-provisioner": (
        f"core: persistentvolumes: create,delete,{_READ}",
        f"core: persistentvolumeclaims: {_READ},update",
        f"storage.k8s.io: storageclasses: {_READ}",
        "core: events: get,list,watch",
        _EVENTS,
    ),
    f"{_SIGNERS}certificatesigningrequests:nodeclient": (
        "certificates.k8s.io: certificatesigningrequests/nodeclient: create",
    ),
    f"{_SIGNERS}certificatesigningrequests:selfnodeclient": (
        "certificates.k8s.io: certificatesigningrequests/selfnodeclient: create",
    ),
}
_APPROVERS = {
    "kube-apiserver-client-approver": "kubernetes.io/kube-apiserver-client",
    "kube-apiserver-client-kubelet-approver": "kubernetes.io/kube-apiserver-client-kubelet",
    "kubelet-serving-approver": "kubernetes.io/kubelet-serving",
    "legacy-unknown-approver": "kubernetes.io/legacy-unknown",
}
_WORKLOADS = f"core: pods: {_READ},{_WRITE}"
# What each controller of Kubernetes works on; every one also writes events.
_CONTROLLERS: dict[str, tuple[str, ...]] = {
    "attachdetach-controller": (f"core: persistentvolumeclaims,persistentvolumes,pods,nodes: {_READ}",),
    "certificate-controller": (f"certificates.k8s.io: certificatesigningrequests: {_READ},delete",),
    "clusterrole-aggregation-controller": (f"{_GROUP}: clusterroles: escalate,{_READ},patch,update",),
    "cronjob-controller": (
        f"batch: cronjobs,cronjobs/status,jobs: {_READ},{_WRITE}",
        "core: pods: list,delete",
    ),
    "daemon-set-controller": (
        f"apps: daemonsets,daemonsets/status,controllerrevisions: {_READ},{_WRITE}",
        _WORKLOADS,
    ),
    "deployment-controller": (
        f"apps: deployments,deployments/finalizers,deployments/status,replicasets: {_READ},{_WRITE}",
        "core: pods: get,list,update,watch",
    ),
    "disruption-controller": (
        f"policy: poddisruptionbudgets,poddisruptionbudgets/status: {_READ},{_WRITE}",
        f"core: pods,replicationcontrollers: {_READ}",
        f"apps: deployments,replicasets,statefulsets: {_READ}",
        "*: */scale: get",
    ),
    "endpoint-controller": (f"core: pods,services: {_READ}", f"core: endpoints: {_READ},{_WRITE}"),
    "endpointslice-controller": (
        f"core: nodes,pods,services: {_READ}",
        f"discovery.k8s.io: endpointslices: {_READ},{_WRITE}",
    ),
    "endpointslicemirroring-controller": (
        f"core: endpoints,services: {_READ}",
        f"discovery.k8s.io: endpointslices: {_READ},{_WRITE}",
    ),
    "ephemeral-volume-controller": (f"core: pods,persistentvolumeclaims: {_READ},create",),
    "expand-controller": (f"core: persistentvolumes,persistentvolumeclaims: {_READ},patch,update",),
    "generic-garbage-collector": ("*: *: delete,get,list,patch,update,watch",),
    "horizontal-pod-autoscaler": (
        f"autoscaling: horizontalpodautoscalers,horizontalpodautoscalers/status: {_READ},update",
        "*: */scale: get,update",
        "core: pods: list",
    ),
    "job-controller": (f"batch: jobs,jobs/status,jobs/finalizers: {_READ},{_WRITE}", _WORKLOADS),
    "legacy-service-account-token-cleaner": ("core: secrets: delete,patch", "core: configmaps: get"),
    "namespace-controller": ("core: namespaces,namespaces/finalize,namespaces/status: *", "*: *: *"),
    "node-controller": (f"core: nodes,nodes/status,pods,pods/status: {_READ},{_WRITE}",),
    "persistent-volume-binder": (f"core: persistentvolumes,persistentvolumeclaims,pods: {_READ},{_WRITE}",),
    "pod-garbage-collector": (
        "core: pods: delete,list,watch",
        "core: nodes: get,list",
        "core: pods/status: patch",
    ),
    "pv-protection-controller": (f"core: persistentvolumes: {_READ},update",),
    "pvc-protection-controller": (f"core: persistentvolumeclaims,pods: {_READ},update",),
    "replicaset-controller": (
        f"apps: replicasets,replicasets/finalizers,replicasets/status: {_READ},update",
        _WORKLOADS,
    ),
    "replication-controller": (
        f"core: replicationcontrollers,replicationcontrollers/status: {_READ},update",
        _WORKLOADS,
    ),
    "resource-claim-controller": (f"resource.k8s.io: resourceclaims: {_READ},{_WRITE}",),
    "resourcequota-controller": ("*: *: list,watch", "core: resourcequotas/status: update"),
    "root-ca-cert-publisher": ("core: configmaps: create,update",),
    "route-controller": ("core: nodes: list,watch", "core: nodes/status: patch"),
    "selinux-warning-controller": (f"core: persistentvolumeclaims,persistentvolumes,pods: {_READ}",),
    "service-account-controller": ("core: serviceaccounts: create",),
    "service-cidrs-controller": (f"networking.k8s.io: servicecidrs,ipaddresses: {_READ},{_WRITE}",),
    "service-controller": (
        f"core: services,services/status: {_READ},patch,update",
        "core: nodes: list,watch",
    ),
    "statefulset-controller": (
        f"apps: statefulsets,statefulsets/status,controllerrevisions: {_READ},{_WRITE}",
        _WORKLOADS,
    ),
    "ttl-after-finished-controller": (f"batch: jobs: {_READ},delete",),
    "ttl-controller": ("core: nodes: list,patch,update,watch",),
    "validatingadmissionpolicy-status-controller": (
        f"admissionregistration.k8s.io: validatingadmissionpolicies,validatingadmissionpolicies/status: {_READ},patch",
    ),
    "volumeattributesclass-protection-controller": (
        f"storage.k8s.io: volumeattributesclasses: {_READ},update",
    ),
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
_ROLES: dict[tuple[str, str], tuple[str, ...]] = {
    ("kube-public", "system:controller:bootstrap-signer"): (
        "core: configmaps: get,list,watch,update",
        _EVENTS,
    ),
    (_SYSTEM, "extension-apiserver-authentication-reader"): ("core: configmaps: get,list,watch",),
    (_SYSTEM, "system::leader-locking-kube-controller-manager"): ("core: configmaps: get,update,watch",),
    (_SYSTEM, "system::leader-locking-kube-scheduler"): ("core: configmaps: get,update,watch",),
    (_SYSTEM, "system:controller:bootstrap-signer"): ("core: secrets: get,list,watch",),
    (_SYSTEM, "system:controller:cloud-provider"): ("core: configmaps: create,get,list,watch",),
    (_SYSTEM, "system:controller:token-cleaner"): ("core: secrets: delete,get,list,watch", _EVENTS),
}
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
    return [*_cluster_roles(), *_cluster_bindings(), *_roles(), *_role_bindings()]


def rule(text: str) -> Json:
    """One rule from its short form."""
    first, second, verbs = (part.strip().split(",") for part in text.rsplit(": ", 2))
    if first == ["url"]:
        return {"verbs": verbs, "nonResourceURLs": second}
    groups = ["" if group == "core" else group for group in first]
    return {"verbs": verbs, "apiGroups": groups, "resources": second}


def _cluster_roles() -> list[Json]:
    made = []
    for name, texts in _CLUSTER_ROLES.items():
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
    for approver, signer in _APPROVERS.items():
        approve = rule("certificates.k8s.io: signers: approve")
        made.append(
            _object("ClusterRole", _SIGNERS + approver, "", rules=[{**approve, "resourceNames": [signer]}])
        )
    for name, texts in _CONTROLLERS.items():
        rules = [rule(text) for text in (*texts, _EVENTS)]
        made.append(_object("ClusterRole", f"system:controller:{name}", "", rules=rules))
    return made


def _cluster_bindings() -> list[Json]:
    made = [_binding("ClusterRoleBinding", name, "", who) for name, who in _CLUSTER_BINDINGS.items()]
    for name in _CONTROLLERS:
        made.append(
            _binding("ClusterRoleBinding", f"system:controller:{name}", "", (("ServiceAccount", name),))
        )
    return made


def _roles() -> list[Json]:
    return [
        _object("Role", name, namespace, rules=[rule(text) for text in texts])
        for (namespace, name), texts in _ROLES.items()
    ]


def _role_bindings() -> list[Json]:
    made = []
    for namespace, name in _ROLES:
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
