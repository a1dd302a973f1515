"""Endpoints of one cluster (EDS): by locality, each with what tells whether it takes mTLS."""

from itertools import groupby

from linnet.envoy.messages import (
    ClusterLoadAssignment,
    Endpoint,
    HealthStatus,
    LbEndpoint,
    Locality,
    LocalityLbEndpoints,
    Metadata,
    Struct,
)
from linnet.model import service as model
from linnet.model.policy import ClientTls, Subset, TlsMode
from linnet.model.resource import Resource
from linnet.translate.wire import resource, socket_address, uint32


def load_assignment(
    name: str,
    service: model.Service,
    port: model.Port,
    subset: Subset | None,
    endpoints: tuple[model.Endpoint, ...],
    tls: ClientTls | None = None,
) -> ClusterLoadAssignment:
    """The endpoints of a service's port, or of the subset with some labels, grouped by locality."""
    held = [
        one
        for one in endpoints
        if one.port_name == port.name and (subset is None or subset.labels <= one.labels)
    ]
    if not held and service.resolution in {model.Resolution.DNS, model.Resolution.DNS_ROUND_ROBIN}:
        if endpoints or service.hostname.startswith("*"):
            return ClusterLoadAssignment(cluster_name=name)
        number = int(port.target) if port.target else port.number
        held = [model.Endpoint(service.hostname, number, port.name)]
    groups = groupby(sorted(held, key=lambda one: one.locality), key=lambda one: one.locality)
    return ClusterLoadAssignment(
        cluster_name=name, endpoints=[_locality(place, list(group), tls) for place, group in groups]
    )


def _locality(place: str, held: list[model.Endpoint], tls: ClientTls | None) -> LocalityLbEndpoints:
    region, zone, subzone = (*place.split("/", 2), "", "", "")[:3]
    group = LocalityLbEndpoints(
        lb_endpoints=[_endpoint(one, tls) for one in held],
        load_balancing_weight=uint32(sum(one.weight for one in held)),
    )
    if place:
        group.locality.CopyFrom(Locality(region=region, zone=zone, sub_zone=subzone))
    return group


def _endpoint(one: model.Endpoint, tls: ClientTls | None) -> LbEndpoint:
    metadata: dict[str, Struct] = {}
    if (tls is None and one.meshed) or (tls is not None and tls.mode is TlsMode.MESH):
        metadata["envoy.transport_socket_match"] = _struct("tlsMode", "istio")
    if one.workload:
        metadata["istio"] = _struct("workload", one.workload)
    return LbEndpoint(
        endpoint=Endpoint(address=socket_address(one.address, one.port)),
        health_status=HealthStatus.HEALTHY,
        load_balancing_weight=uint32(one.weight),
        metadata=Metadata(filter_metadata=metadata) if metadata else None,
    )


def _struct(key: str, value: str) -> Struct:
    held = Struct()
    held.update({key: value})
    return held


def endpoints(
    name: str,
    service: model.Service,
    port: model.Port,
    subset: Subset | None,
    held: tuple[model.Endpoint, ...],
    tls: ClientTls | None,
) -> Resource:
    """The resource for one EDS cluster; without endpoints it is sent empty, so that the cluster warms."""
    return resource(name, load_assignment(name, service, port, subset, held, tls))
