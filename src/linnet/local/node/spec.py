"""What the kubelet reads of a pod: the API object decoded into values; what it does not read is not here.

Source: Kubernetes API reference, Pod v1.
"""

from typing import Any

import msgspec
from msgspec import Struct, field

Object = dict[str, Any]
GRACE = 30  # seconds, when a pod names none


class KeyRef(Struct, frozen=True):
    """A key of a ConfigMap or Secret."""

    key: str
    name: str = ""
    optional: bool = False


class FieldRef(Struct, frozen=True, rename="camel"):
    """A path into the pod: `metadata.labels['app']`, `status.podIP`."""

    field_path: str


class ResourceRef(Struct, frozen=True, rename="camel"):
    """A request or limit of a container: `limits.memory`."""

    resource: str
    container_name: str = ""
    divisor: str | int = "0"


class EnvSource(Struct, frozen=True, rename="camel"):
    """Where the value of a variable comes from: exactly one is set."""

    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceRef | None = None


class EnvVar(Struct, frozen=True, rename="camel"):
    """One variable of a container."""

    name: str
    value: str = ""
    value_from: EnvSource | None = None


class ObjectRef(Struct, frozen=True):
    """A ConfigMap or Secret as a whole."""

    name: str = ""
    optional: bool = False


class EnvFrom(Struct, frozen=True, rename="camel"):
    """All keys of an object as variables."""

    prefix: str = ""
    config_map_ref: ObjectRef | None = None
    secret_ref: ObjectRef | None = None


class Header(Struct, frozen=True):
    """A header of an HTTP probe or hook."""

    name: str
    value: str = ""


class HttpGet(Struct, frozen=True):
    """GET of a probe or hook; `port` is a number or the name of a container port."""

    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    headers: tuple[Header, ...] = field(default=(), name="httpHeaders")


class TcpSocket(Struct, frozen=True):
    """Connect of a probe."""

    port: int | str
    host: str = ""


class Exec(Struct, frozen=True):
    """A command of a probe or hook, run in the container."""

    command: tuple[str, ...] = ()


class Grpc(Struct, frozen=True):
    """grpc.health.v1 of a probe."""

    port: int
    service: str | None = None


class Sleep(Struct, frozen=True):
    """A hook that waits."""

    seconds: int


class Probe(Struct, frozen=True, rename="camel"):
    """When and how to ask a container whether it is well; times in seconds."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: Exec | None = None
    grpc: Grpc | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class Hook(Struct, frozen=True, rename="camel"):
    """What runs after a start or before a stop."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    exec: Exec | None = None
    sleep: Sleep | None = None


class Lifecycle(Struct, frozen=True, rename="camel"):
    """The hooks of a container."""

    post_start: Hook | None = None
    pre_stop: Hook | None = None


class Capabilities(Struct, frozen=True):
    """Names without CAP_, or ALL."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class Security(Struct, frozen=True, rename="camel"):
    """The security context of a container, or the parts of a pod's that containers inherit."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    read_only_root_filesystem: bool = False
    capabilities: Capabilities | None = None


class VolumeMount(Struct, frozen=True, rename="camel"):
    """Where a volume appears in a container."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""


class Port(Struct, frozen=True, rename="camel"):
    """A port that a container says it listens on."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Resources(Struct, frozen=True):
    """Requests and limits as quantities."""

    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class Container(Struct, frozen=True, rename="camel"):
    """A container of a pod."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    ports: tuple[Port, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    image_pull_policy: str = "IfNotPresent"
    security_context: Security = Security()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    restart_policy: str = ""


class KeyToPath(Struct, frozen=True):
    """One file of a ConfigMap or Secret volume."""

    key: str
    path: str
    mode: int | None = None


class ConfigMapSource(Struct, frozen=True, rename="camel"):
    """Files from a ConfigMap."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretSource(Struct, frozen=True, rename="camel"):
    """Files from a Secret; volumes name it `secretName`, projections `name`."""

    secret_name: str = ""
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class DownwardFile(Struct, frozen=True, rename="camel"):
    """A file with a field of the pod."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceRef | None = None
    mode: int | None = None


class DownwardSource(Struct, frozen=True, rename="camel"):
    """Files from the pod itself."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class TokenSource(Struct, frozen=True, rename="camel"):
    """A token of the pod's service account."""

    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class Projection(Struct, frozen=True, rename="camel"):
    """One source of a projected volume."""

    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward_api: DownwardSource | None = field(default=None, name="downwardAPI")
    service_account_token: TokenSource | None = None


class ProjectedSource(Struct, frozen=True, rename="camel"):
    """Files from several sources in one directory."""

    sources: tuple[Projection, ...] = ()
    default_mode: int = 0o644


class EmptyDir(Struct, frozen=True, rename="camel"):
    """A directory that lives as long as the pod; medium `Memory` keeps it off the disk."""

    medium: str = ""
    size_limit: str | int | None = None


class Volume(Struct, frozen=True, rename="camel"):
    """A volume of a pod: exactly one source is set."""

    name: str
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward_api: DownwardSource | None = field(default=None, name="downwardAPI")
    projected: ProjectedSource | None = None
    host_path: Object | None = None
    persistent_volume_claim: Object | None = None


class HostAlias(Struct, frozen=True):
    """Extra names of an address."""

    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(Struct, frozen=True):
    """An option of resolv.conf."""

    name: str = ""
    value: str | None = None


class DnsConfig(Struct, frozen=True):
    """What a pod adds to its resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class Gate(Struct, frozen=True, rename="camel"):
    """A condition that others set and the pod waits for."""

    condition_type: str


class Ephemeral(Struct, frozen=True, rename="camel"):
    """A container that was added to a running pod."""

    name: str
    image: str = ""


class PodSpec(Struct, frozen=True, rename="camel"):
    """The specification of a pod."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Ephemeral, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_name: str = ""
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = GRACE
    service_account_name: str = "default"
    hostname: str = ""
    subdomain: str = ""
    host_network: bool = False
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig = DnsConfig()
    host_aliases: tuple[HostAlias, ...] = ()
    enable_service_links: bool = True
    security_context: Security = Security()
    readiness_gates: tuple[Gate, ...] = ()


class Meta(Struct, frozen=True, rename="camel"):
    """The metadata of a pod."""

    name: str
    uid: str
    namespace: str = "default"
    generation: int = 1
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None


class Pod(Struct, frozen=True):
    """A pod as the kubelet sees it; `raw` is the object itself."""

    metadata: Meta
    spec: PodSpec
    raw: Object

    @property
    def label(self) -> str:
        """`name_namespace(uid)`, as the kubelet writes it in its messages."""
        return f"{self.metadata.name}_{self.metadata.namespace}({self.metadata.uid})"

    @property
    def terminating(self) -> bool:
        """Whether it was asked to go."""
        return bool(self.metadata.deletion_timestamp)

    @property
    def grace(self) -> int:
        """Seconds between the wish to end it and the kill."""
        asked = self.metadata.deletion_grace_period_seconds
        return self.spec.termination_grace_period_seconds if asked is None else asked


def decode(obj: Object) -> Pod:
    """The pod of an API object. Raises msgspec.ValidationError with the path of what is wrong."""
    spec = _without_nulls(obj.get("spec", {}))
    return Pod(
        msgspec.convert(_without_nulls(obj["metadata"]), Meta),
        msgspec.convert(spec, PodSpec, strict=False),
        obj,
    )


def is_sidecar(container: Container) -> bool:
    """Whether an init container keeps running beside the others. Source: Kubernetes, sidecar containers."""
    return container.restart_policy == "Always"


def port_number(container: Container, port: int | str) -> int:
    """The number of a port given by number or name. Raises ValueError."""
    if isinstance(port, int):
        return port
    for known in container.ports:
        if known.name == port:
            return known.container_port
    if port.isdecimal():
        return int(port)
    raise ValueError(f'container "{container.name}" has no port named "{port}"')


def _without_nulls(value: Any) -> Any:
    """The same without null fields: in the API null means absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
