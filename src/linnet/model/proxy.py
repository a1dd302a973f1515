"""Who connects, and what translation may know of it."""

from enum import StrEnum

from msgspec import Struct

from linnet.model.gateway import Gateway
from linnet.model.policy import AuthorizationPolicy, PeerMode
from linnet.model.service import Labels, Protocol
from linnet.model.sidecar import Sight
from linnet.model.tokens import Issuer


class ProxyKind(StrEnum):
    """Istio's node types; a gateway is a router."""

    SIDECAR = "sidecar"
    ROUTER = "router"


NEWEST_ENVOY = (1, 40)


class ProxyClaim(Struct, frozen=True, cache_hash=True):
    """What a connected proxy says of itself, after authentication has confirmed namespace and account.

    `labels` are those of the node metadata: a pod that is known by the API server has the API server's.
    """

    kind: ProxyKind
    pod: str
    namespace: str
    service_account: str = ""
    ip: str = ""
    labels: Labels = frozenset()
    envoy: tuple[int, int] = NEWEST_ENVOY  # major, minor
    domain: str = ""  # DNS domain of the node identifier


class Outbound(Struct, frozen=True, cache_hash=True):
    """What the proxies of a namespace see of the mesh. `labels` are only those that some rule asks for.

    `egress` is what may be called, None for everything. `allow_any` is what their Sidecar says of calls
    to hosts that the mesh does not know; None if it says nothing.
    """

    kind: ProxyKind
    namespace: str
    labels: Labels = frozenset()
    egress: Sight | None = None
    allow_any: bool | None = None

    @property
    def sight(self) -> tuple[ProxyKind, str, Sight | None]:
        """What decides about the services that are seen."""
        return (self.kind, self.namespace, self.egress)


class InboundPort(Struct, frozen=True, cache_hash=True):
    """A port that a workload is called on, and the service it belongs to. `mode` is the mTLS mode there."""

    target: int
    protocol: Protocol
    service_port: int
    hostname: str
    name: str
    namespace: str
    mode: PeerMode


class Inbound(Struct, frozen=True, cache_hash=True):
    """What is particular to a workload: shared by its replicas, and by whoever looks the same.

    `modes` are ports that have a mode of their own but belong to no service.
    """

    ports: tuple[InboundPort, ...]
    mode: PeerMode
    modes: tuple[tuple[int, PeerMode], ...] = ()
    policies: tuple[AuthorizationPolicy, ...] = ()
    issuers: tuple[Issuer, ...] = ()


class Router(Struct, frozen=True, cache_hash=True):
    """What a gateway proxy listens for. `targets`: port of its Service -> port of its pod."""

    gateways: tuple[Gateway, ...]
    targets: tuple[tuple[int, int], ...] = ()
    policies: tuple[AuthorizationPolicy, ...] = ()
    issuers: tuple[Issuer, ...] = ()


class ProxyView(Struct, frozen=True, cache_hash=True):
    """Everything translation may know about a proxy; equal views receive the same offer."""

    outbound: Outbound
    inbound: Inbound | None = None
    router: Router | None = None

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """Whose tokens are believed."""
        held = self.inbound or self.router
        return held.issuers if held is not None else ()

    @property
    def policies(self) -> tuple[AuthorizationPolicy, ...]:
        """Who may call."""
        held = self.inbound or self.router
        return held.policies if held is not None else ()
