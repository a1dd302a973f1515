"""How services are called, and who may call: traffic policies, mTLS modes, authorisation."""

from enum import StrEnum

from msgspec import Struct

from linnet.model.route import TextMatch
from linnet.model.service import Labels


class Balancing(StrEnum):
    """How an endpoint is picked."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"


class HashKey(Struct, frozen=True):
    """What picks the endpoint of a hashing balancer: exactly one is set. `cookie_ttl` is in seconds."""

    header: str = ""
    cookie: str = ""
    cookie_path: str = ""
    cookie_ttl: float | None = None
    source_ip: bool = False
    query: str = ""


class Balancer(Struct, frozen=True):
    """How endpoints are picked; `size` is the least ring size or the table size, `warmup` is in seconds."""

    kind: Balancing = Balancing.LEAST_REQUEST
    key: HashKey | None = None
    size: int = 0
    warmup: float = 0
    warmup_aggression: float = 0
    warmup_minimum: float = 0


class Keepalive(Struct, frozen=True):
    """TCP keep-alive; times in seconds, 0 for the system's."""

    probes: int = 0
    time: int = 0
    interval: int = 0


class Pool(Struct, frozen=True):
    """Limits of connections; times in seconds; 0 means unlimited or unset."""

    connect_timeout: float = 0
    max_connections: int = 0
    max_pending: int = 0
    max_requests: int = 0
    max_retries: int | None = None
    requests_per_connection: int = 0
    concurrent_streams: int = 0
    idle_timeout: float = 0  # of HTTP connections
    tcp_idle_timeout: float = 0
    max_connection_duration: float = 0
    keepalive: Keepalive | None = None
    upgrade: bool = False  # speak HTTP/2 to the service
    client_protocol: bool = False


class Outlier(Struct, frozen=True):
    """When an endpoint is left out for a while; None keeps Envoy's own value. Times in seconds."""

    consecutive_5xx: int | None = None
    consecutive_gateway: int | None = None
    consecutive_local: int | None = None
    split_local: bool = False
    interval: float | None = None
    base_ejection: float | None = None
    max_percent: int | None = None
    min_health_percent: int = 0


class TlsMode(StrEnum):
    """How a client encrypts."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    MESH = "ISTIO_MUTUAL"


class ClientTls(Struct, frozen=True):
    """What a client presents and expects; `names` are the SANs of which the server has one."""

    mode: TlsMode
    sni: str = ""
    names: tuple[str, ...] = ()
    unverified: bool = False


class RetryBudget(Struct, frozen=True):
    """How many retries may run at once: per cent of the active requests, and at least some."""

    percent: float = 20
    least: int = 3


class PortPolicy(Struct, frozen=True):
    """How one port is called; None means not said."""

    pool: Pool | None = None
    balancer: Balancer | None = None
    outlier: Outlier | None = None
    tls: ClientTls | None = None
    retry_budget: RetryBudget | None = None


class TrafficPolicy(Struct, frozen=True):
    """How a service is called; a port of its own replaces the whole."""

    default: PortPolicy = PortPolicy()
    ports: tuple[tuple[int, PortPolicy], ...] = ()

    def of(self, port: int) -> PortPolicy:
        """The policy for one port."""
        return next((policy for number, policy in self.ports if number == port), self.default)


class Subset(Struct, frozen=True):
    """Endpoints with some labels, under a name."""

    name: str
    labels: Labels
    policy: TrafficPolicy | None = None


class DestinationRule(Struct, frozen=True, cache_hash=True):
    """How a host is called and what parts it has."""

    namespace: str
    name: str
    created: str
    host: str
    exported_to: frozenset[str] = frozenset({"*"})
    policy: TrafficPolicy = TrafficPolicy()
    subsets: tuple[Subset, ...] = ()

    def visible_from(self, namespace: str) -> bool:
        """Whether a proxy in a namespace obeys it."""
        return "*" in self.exported_to or namespace in self.exported_to


class PeerMode(StrEnum):
    """Which connections a workload takes."""

    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class PeerAuthentication(Struct, frozen=True):
    """Modes for the selected workloads; no selector means all of the namespace. Mode None inherits."""

    namespace: str
    name: str
    created: str
    selector: Labels | None
    mode: PeerMode | None
    ports: tuple[tuple[int, PeerMode | None], ...] = ()


class Action(StrEnum):
    """What a matching request meets."""

    ALLOW = "ALLOW"
    DENY = "DENY"


class Kind(StrEnum):
    """What a condition looks at."""

    PRINCIPAL = "principal"  # SPIFFE ID without the scheme
    NAMESPACE = "namespace"
    SERVICE_ACCOUNT = "service account"  # namespace/name
    IP = "ip"  # of the peer, CIDR
    REMOTE_IP = "remote ip"  # of the caller by X-Forwarded-For, CIDR
    HOST = "host"
    METHOD = "method"
    PATH = "path"
    PORT = "port"
    HEADER = "header"
    DESTINATION_IP = "destination ip"
    SNI = "sni"
    REQUEST_PRINCIPAL = "request principal"  # of the token: issuer/subject
    CLAIM = "claim"  # of the token
    NEVER = "never"  # cannot be evaluated


_OF_TOKENS = {Kind.REQUEST_PRINCIPAL, Kind.CLAIM}
HTTP_ONLY = frozenset({Kind.HOST, Kind.METHOD, Kind.PATH, Kind.HEADER, Kind.REMOTE_IP} | _OF_TOKENS)


class Condition(Struct, frozen=True):
    """One field: any of `values`, and with `negated` none of them.

    `name` is a header's; of a claim its path, joined by line ends, which no name holds.
    """

    kind: Kind
    values: tuple[TextMatch, ...]
    negated: bool = False
    name: str = ""


class AuthorizationRule(Struct, frozen=True):
    """Alternatives of callers and of operations; each alternative is a conjunction. None empty: any."""

    callers: tuple[tuple[Condition, ...], ...] = ()
    operations: tuple[tuple[Condition, ...], ...] = ()


class AuthorizationPolicy(Struct, frozen=True):
    """Who may call the selected workloads; without rules nothing matches."""

    namespace: str
    name: str
    created: str
    action: Action
    selector: Labels | None = None
    rules: tuple[AuthorizationRule, ...] = ()
