"""The mesh at one instant: all inputs of translation besides the view."""

from collections.abc import Mapping

from msgspec import Struct

from linnet.model.policy import DestinationRule, PeerMode
from linnet.model.route import VirtualService
from linnet.model.service import Backends, Endpoint, Service, ServiceKey


class Credential(Struct, frozen=True, cache_hash=True):
    """A certificate with its key, or a CA, as PEM; what is absent is empty."""

    certificate: bytes = b""
    key: bytes = b""
    ca: bytes = b""


class MeshConfig(Struct, frozen=True, cache_hash=True):
    """What the operator says about the whole mesh."""

    trust_domain: str = "cluster.local"
    trust_domain_aliases: tuple[str, ...] = ()
    domain: str = "cluster.local"
    root_namespace: str = "istio-system"
    allow_any: bool = True  # calls to hosts that the mesh does not know
    auto_mtls: bool = True
    connect_timeout: float = 10  # seconds
    access_log: str = ""  # file; empty: none
    access_log_json: bool = False
    system_roots: bytes = b""  # PEM: who vouches for servers outside the mesh; empty: nobody does


class Snapshot(Struct, frozen=True, eq=False):
    """Never mutated; a part that did not change is the same object as in the snapshot before.

    Sequences are in the order of claims: creation time, namespace, name.
    """

    config: MeshConfig
    services: Mapping[ServiceKey, Service]
    endpoints: Mapping[ServiceKey, tuple[Endpoint, ...]]
    backends: Mapping[ServiceKey, Backends]
    virtual_services: tuple[VirtualService, ...]
    destination_rules: tuple[DestinationRule, ...]
    namespace_modes: Mapping[str, PeerMode]  # mTLS mode of whole namespaces; "" is the mesh's
    credentials: Mapping[tuple[str, str], Credential]  # (namespace, Secret)
