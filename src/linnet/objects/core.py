"""Kubernetes' own kinds, as far as a mesh reads them."""

from msgspec import field

from linnet.objects.parts import Part


class Metadata(Part, frozen=True):
    """Who an object is."""

    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: str | None = None
    generation: int = 0


class ServicePort(Part, frozen=True):
    """A port of a Service; `target_port` is a number, a name, or absent."""

    port: int
    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None
    target_port: int | str | None = None


class ServiceSpec(Part, frozen=True):
    """What a Service is."""

    ports: tuple[ServicePort, ...] | None = None
    selector: dict[str, str] | None = None
    cluster_ip: str | None = field(name="clusterIP", default=None)
    cluster_ips: tuple[str, ...] | None = field(name="clusterIPs", default=None)
    type: str | None = None
    external_name: str | None = None


class Service(Part, frozen=True):
    """A Kubernetes Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


class Conditions(Part, frozen=True):
    """State of one endpoint; absent means unknown, which counts as ready."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(Part, frozen=True):
    """The object behind an endpoint."""

    kind: str | None = None
    name: str | None = None
    namespace: str | None = None


class SliceEndpoint(Part, frozen=True):
    """One backend of an EndpointSlice."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions | None = None
    target_ref: TargetRef | None = None
    node_name: str | None = None
    zone: str | None = None


class SlicePort(Part, frozen=True):
    """A port of an EndpointSlice, known by the name of the Service's port."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointSlice(Part, frozen=True):
    """Where a Service's backends are."""

    metadata: Metadata
    address_type: str = "IPv4"
    endpoints: tuple[SliceEndpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None


class ContainerPort(Part, frozen=True):
    """A declared port of a container."""

    container_port: int
    name: str | None = None


class Container(Part, frozen=True):
    """A container, as far as its ports."""

    name: str = ""
    ports: tuple[ContainerPort, ...] | None = None
    restart_policy: str | None = None


class PodSpec(Part, frozen=True):
    """What a Pod runs."""

    service_account_name: str | None = None
    node_name: str | None = None
    hostname: str | None = None
    subdomain: str | None = None
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None


class PodStatus(Part, frozen=True):
    """Where a Pod is."""

    pod_ip: str | None = field(name="podIP", default=None)
    phase: str | None = None


class OwnerReference(Part, frozen=True):
    """Who made an object."""

    kind: str = ""
    name: str = ""
    controller: bool | None = None


class PodMetadata(Metadata, frozen=True):
    """A Pod's metadata; its owner names the workload."""

    owner_references: tuple[OwnerReference, ...] | None = None


class Pod(Part, frozen=True):
    """A Pod."""

    metadata: PodMetadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Namespace(Part, frozen=True):
    """A Namespace."""

    metadata: Metadata


class ConfigMap(Part, frozen=True):
    """A ConfigMap."""

    metadata: Metadata
    data: dict[str, str] | None = None


class Secret(Part, frozen=True):
    """A Secret; values as Kubernetes stores them, base64."""

    metadata: Metadata
    data: dict[str, str] | None = None
    type: str | None = None
