"""The kinds that Linnet speaks of: group, version, plural, and their paths at an API server."""

from urllib.parse import quote

from msgspec import Struct


class Kind(Struct, frozen=True):
    """A kind of object. `name` is the CamelCase kind; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`plural.group`, as kubectl prints and accepts it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of an object, of a namespace's collection, or of the cluster's collection."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts += [self.plural, *filter(None, (quote(name, safe=":"), subresource))]
        return "/" + "/".join(parts)


NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
NODE = Kind("", "v1", "nodes", "Node", namespaced=False)
POD = Kind("", "v1", "pods", "Pod")
SERVICE = Kind("", "v1", "services", "Service")
ENDPOINTS = Kind("", "v1", "endpoints", "Endpoints")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
SECRET = Kind("", "v1", "secrets", "Secret")
SERVICE_ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")
EVENT = Kind("", "v1", "events", "Event")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
REPLICA_SET = Kind("apps", "v1", "replicasets", "ReplicaSet")
HORIZONTAL_POD_AUTOSCALER = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
ROLE = Kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDING = Kind(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
MUTATING_WEBHOOK = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
VALIDATING_WEBHOOK = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
TOKEN_REVIEW = Kind("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)

_NETWORKING, _SECURITY = "networking.istio.io", "security.istio.io"
VIRTUAL_SERVICE = Kind(_NETWORKING, "v1", "virtualservices", "VirtualService")
DESTINATION_RULE = Kind(_NETWORKING, "v1", "destinationrules", "DestinationRule")
GATEWAY = Kind(_NETWORKING, "v1", "gateways", "Gateway")
SERVICE_ENTRY = Kind(_NETWORKING, "v1", "serviceentries", "ServiceEntry")
SIDECAR = Kind(_NETWORKING, "v1", "sidecars", "Sidecar")
WORKLOAD_ENTRY = Kind(_NETWORKING, "v1", "workloadentries", "WorkloadEntry")
WORKLOAD_GROUP = Kind(_NETWORKING, "v1", "workloadgroups", "WorkloadGroup")
ENVOY_FILTER = Kind(_NETWORKING, "v1alpha3", "envoyfilters", "EnvoyFilter")
PROXY_CONFIG = Kind(_NETWORKING, "v1beta1", "proxyconfigs", "ProxyConfig")
PEER_AUTHENTICATION = Kind(_SECURITY, "v1", "peerauthentications", "PeerAuthentication")
AUTHORIZATION_POLICY = Kind(_SECURITY, "v1", "authorizationpolicies", "AuthorizationPolicy")
REQUEST_AUTHENTICATION = Kind(_SECURITY, "v1", "requestauthentications", "RequestAuthentication")
TELEMETRY = Kind("telemetry.istio.io", "v1", "telemetries", "Telemetry")
WASM_PLUGIN = Kind("extensions.istio.io", "v1alpha1", "wasmplugins", "WasmPlugin")
TRAFFIC_EXTENSION = Kind("extensions.istio.io", "v1alpha1", "trafficextensions", "TrafficExtension")

BUILTIN: tuple[Kind, ...] = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    ENDPOINTS,
    CONFIG_MAP,
    SECRET,
    SERVICE_ACCOUNT,
    EVENT,
    DEPLOYMENT,
    REPLICA_SET,
    HORIZONTAL_POD_AUTOSCALER,
    POD_DISRUPTION_BUDGET,
    ENDPOINT_SLICE,
    LEASE,
    ROLE,
    ROLE_BINDING,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    MUTATING_WEBHOOK,
    VALIDATING_WEBHOOK,
    CUSTOM_RESOURCE_DEFINITION,
)
ISTIO: tuple[Kind, ...] = (
    VIRTUAL_SERVICE,
    DESTINATION_RULE,
    GATEWAY,
    SERVICE_ENTRY,
    SIDECAR,
    WORKLOAD_ENTRY,
    WORKLOAD_GROUP,
    ENVOY_FILTER,
    PROXY_CONFIG,
    PEER_AUTHENTICATION,
    AUTHORIZATION_POLICY,
    REQUEST_AUTHENTICATION,
    TELEMETRY,
    WASM_PLUGIN,
    TRAFFIC_EXTENSION,
)


def of_object(api_version: str, kind: str) -> Kind | None:
    """The kind of an object by its `apiVersion` and `kind`, in the version that it names; None: not known."""
    group, _, version = api_version.rpartition("/")
    for known in BUILTIN + ISTIO:
        if known.group == group and known.name == kind:
            return Kind(group, version, known.plural, known.name, known.namespaced)
    return None
