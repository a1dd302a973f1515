"""What one istiod is told when it starts."""

from enum import StrEnum

from msgspec import Struct


class PlaintextCallers(StrEnum):
    """Whom the port without TLS serves."""

    NONE = "none"
    LOOPBACK = "loopback"  # processes of the same pod, and port-forwards
    ALL = "all"


class Address(Struct, frozen=True):
    """Where to listen; an empty host means all addresses, port 0 any free port."""

    port: int
    host: str = ""


class Settings(Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    revision: str = "default"
    """As labels write it: `default` for the revision without a name."""
    namespace: str = "istio-system"
    pod: str = "istiod"
    cluster: str = "Kubernetes"
    domain: str = "cluster.local"
    version: str = ""
    custom_hosts: tuple[str, ...] = ()
    """Further DNS names of the serving certificate."""
    http: Address = Address(8080)
    https: Address = Address(15017)
    grpc: Address = Address(15010)
    secure_grpc: Address = Address(15012)
    monitoring: Address = Address(15014)
    controls: Address = Address(9876, "127.0.0.1")
    """Where the level of the log is changed."""
    plaintext: PlaintextCallers = PlaintextCallers.LOOPBACK
    debounce_quiet: float = 0.1
    debounce_limit: float = 10.0
    endpoints_quiet: float = 0.02
    """Endpoint changes wait no longer than this for others."""
    connection_age: float = 1800.0
    """After about so long a proxy is asked to come back (perhaps to another replica); 0: never."""
    shutdown: float = 10.0
    """How long proxies are let go one after another before the end."""
    default_ttl: float = 86400.0
    max_ttl: float = 7776000.0

    @property
    def suffix(self) -> str:
        """What the names of this revision's objects end with."""
        return "" if self.revision == "default" else f"-{self.revision}"

    @property
    def mesh_config(self) -> str:
        """The ConfigMap with the MeshConfig."""
        return f"istio{self.suffix}"

    @property
    def injector_config(self) -> str:
        """The ConfigMap with the injection templates."""
        return f"istio-sidecar-injector{self.suffix}"
