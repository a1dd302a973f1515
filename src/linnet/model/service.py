"""Services and their endpoints, whoever declared them."""

from enum import StrEnum

from msgspec import Struct

Labels = frozenset[tuple[str, str]]  # selector <= labels is "selects"
ServiceKey = tuple[str, str]  # namespace, hostname


class Protocol(StrEnum):
    """What a port speaks; UNKNOWN is found out from the first bytes."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    UDP = "UDP"
    UNKNOWN = "UNKNOWN"

    @property
    def is_http(self) -> bool:
        """Requests can be seen."""
        return self in {Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB}

    @property
    def is_http2(self) -> bool:
        """Requests travel as HTTP/2."""
        return self in {Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB}

    @property
    def is_tls(self) -> bool:
        """The application itself encrypts; the SNI can be seen."""
        return self in {Protocol.HTTPS, Protocol.TLS}


class Resolution(StrEnum):
    """How the addresses behind a service are found."""

    ENDPOINTS = "ENDPOINTS"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    PASSTHROUGH = "PASSTHROUGH"


class Port(Struct, frozen=True):
    """A port of a service. `target` is a number, a name, or empty for the same number."""

    number: int
    name: str
    protocol: Protocol
    target: str = ""


class Service(Struct, frozen=True, cache_hash=True):
    """A name that can be called. `created` is an RFC 3339 time, for the order of claims."""

    hostname: str
    namespace: str
    name: str
    ports: tuple[Port, ...]
    addresses: tuple[str, ...] = ()  # virtual addresses; empty for a headless service
    resolution: Resolution = Resolution.ENDPOINTS
    exported_to: frozenset[str] = frozenset({"*"})
    created: str = ""
    kubernetes: bool = True
    external: bool = False  # outside the mesh: never automatic mTLS
    selector: Labels | None = None
    aliases: tuple[str, ...] = ()  # names of ExternalName services that point here
    alternative_names: tuple[str, ...] = ()  # expected SANs besides those of the endpoints

    @property
    def key(self) -> ServiceKey:
        """Services are known by namespace and hostname."""
        return (self.namespace, self.hostname)

    def visible_from(self, namespace: str) -> bool:
        """Whether a proxy in a namespace may call it."""
        return "*" in self.exported_to or namespace in self.exported_to


class Endpoint(Struct, frozen=True, cache_hash=True):
    """One address and port of a service. `principal` is a SPIFFE ID or empty."""

    address: str
    port: int
    port_name: str
    labels: Labels = frozenset()
    principal: str = ""
    meshed: bool = False  # a proxy of the mesh is in front: takes mTLS
    locality: str = ""  # region/zone/subzone
    weight: int = 1
    workload: str = ""  # name;namespace;canonical name;canonical revision;cluster
    hostname: str = ""  # of a headless service's pod


class Backends(Struct, frozen=True, cache_hash=True):
    """What clusters need to know of a service's endpoints; changes much more rarely than they do."""

    principals: tuple[str, ...] = ()  # sorted
    all_meshed: bool = False
    addresses: tuple[str, ...] = ()  # of a headless service, sorted


NO_BACKENDS = Backends()
