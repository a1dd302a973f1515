"""What gateway proxies listen for."""

from enum import StrEnum

from msgspec import Struct

from linnet.model.service import Labels


class ServerProtocol(StrEnum):
    """What a server of a gateway takes."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    TCP = "TCP"
    TLS = "TLS"


class ServerTlsMode(StrEnum):
    """What becomes of TLS at a gateway."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"
    MESH = "ISTIO_MUTUAL"


class ServerTls(Struct, frozen=True):
    """How a server encrypts. `credentials` are names of Secrets in the proxy's namespace."""

    mode: ServerTlsMode
    credentials: tuple[str, ...] = ()
    ca: str = ""  # name of the Secret with the callers' CA; empty: `<credential>-cacert`
    names: tuple[str, ...] = ()
    min_version: str = ""  # Envoy's: TLSv1_2
    max_version: str = ""
    ciphers: tuple[str, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names, as SDS knows them, of everything that must be there before it can be served."""
        if self.mode not in {ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL}:
            return self.credentials
        return (*self.credentials, self.ca or f"{self.credentials[0]}-cacert")


class Server(Struct, frozen=True):
    """A port, and who is served there. `hosts` are (namespace or `*`, host) pairs."""

    port: int
    port_name: str
    protocol: ServerProtocol
    hosts: tuple[tuple[str, str], ...]
    bind: str = ""
    redirect: bool = False  # send HTTP to HTTPS
    tls: ServerTls | None = None
    index: int = 0  # its place among the servers of the object


class Gateway(Struct, frozen=True, cache_hash=True):
    """Servers for the proxies that `selector` selects; an empty selector is all gateways."""

    namespace: str
    name: str
    created: str
    selector: Labels
    servers: tuple[Server, ...]

    @property
    def full_name(self) -> str:
        """``<namespace>/<name>``, as VirtualServices refer to it."""
        return f"{self.namespace}/{self.name}"
