"""Sidecar: what the proxies of a workload listen for and what they see of the mesh.

Source: Istio's CustomResourceDefinitions, version v1; every field that they know is here.
"""

from typing import Annotated, Literal

from msgspec import Meta

from linnet.objects.destination_rule import ConnectionPool
from linnet.objects.gateway import ServerTls
from linnet.objects.parts import Part, UInt32

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class SidecarPort(Part, frozen=True):
    name: str | None = None
    number: UInt32 | None = None
    protocol: str | None = None
    target_port: UInt32 | None = None


class Ingress(Part, frozen=True):
    port: SidecarPort
    bind: str | None = None
    capture_mode: CaptureMode | None = None
    connection_pool: ConnectionPool | None = None
    default_endpoint: str | None = None
    tls: ServerTls | None = None


class Egress(Part, frozen=True):
    hosts: tuple[str, ...]
    bind: str | None = None
    capture_mode: CaptureMode | None = None
    port: SidecarPort | None = None


class EgressPort(Part, frozen=True):
    number: UInt32 | None = None


class EgressProxy(Part, frozen=True):
    host: str
    port: EgressPort | None = None
    subset: str | None = None


class OutboundTrafficPolicy(Part, frozen=True):
    egress_proxy: EgressProxy | None = None
    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] | None = None


class WorkloadSelector(Part, frozen=True):
    labels: Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=256)] | None = None


class SidecarSpec(Part, frozen=True):
    egress: tuple[Egress, ...] = ()
    inbound_connection_pool: ConnectionPool | None = None
    ingress: tuple[Ingress, ...] = ()
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
    workload_selector: WorkloadSelector | None = None
