"""What the kubelet reads of a container of a pod.

Source: Kubernetes API reference, Container v1.
"""

from msgspec import Struct, field


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
