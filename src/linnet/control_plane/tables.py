"""Pages of the debug port about the mesh as a whole.

Source: Istio, debug endpoints `registryz`, `endpointz`, `configz`, `mesh`, `inject`, `push_status`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from linnet.control_plane.plane import Plane
from linnet.control_plane.proxies import Proxies
from linnet.inject.configuration import Configuration
from linnet.kube.kinds import ISTIO
from linnet.model.service import Endpoint, Service

Show = Callable[[], object]
_RESOLUTIONS = {"ENDPOINTS": 0, "DNS": 1, "PASSTHROUGH": 2, "DNS_ROUND_ROBIN": 3}


def tables(
    plane: Plane, proxies: Proxies, injection: Callable[[], Configuration | None]
) -> Mapping[str, Show]:
    """Page name -> what it shows."""
    return {
        "registryz": partial(_registry, plane),
        "endpointz": partial(_endpoints, plane),
        "endpointShardz": partial(_endpoints, plane),
        "configz": partial(_objects, plane),
        "resourcesz": _kinds,
        "push_status": partial(_problems, plane),
        "mesh": partial(_config, plane),
        "inject": partial(_templates, injection),
        "linesz": partial(_lines, proxies),
    }


def _registry(plane: Plane) -> object:
    return [_service(service) for _, service in sorted(plane.mesh.snapshot.services.items())]


def _endpoints(plane: Plane) -> object:
    found: dict[str, dict[str, object]] = {}
    for (namespace, hostname), held in sorted(plane.mesh.snapshot.endpoints.items()):
        shard = {"Kubernetes/Kubernetes": [_endpoint(endpoint) for endpoint in held]}
        accounts: dict[str, object] = {endpoint.principal: {} for endpoint in held if endpoint.principal}
        found.setdefault(hostname, {})[namespace] = {"Shards": shard, "ServiceAccounts": accounts}
    return found


def _objects(plane: Plane) -> object:
    istio = {kind.name for kind in ISTIO}
    return [obj for kind, of in plane.mesh.objects.items() if kind in istio for obj in of.values()]


def _kinds() -> object:
    return [{"Group": k.group, "Version": k.version, "Kind": k.name} for k in ISTIO]


def _problems(plane: Plane) -> object:
    return [msgspec.to_builtins(problem) for found in plane.mesh.problems.values() for problem in found]


def _config(plane: Plane) -> object:
    return msgspec.to_builtins(plane.mesh.snapshot.config)


def _templates(injection: Callable[[], Configuration | None]) -> object:
    held = injection()
    return dict(held.templates) if held is not None else {}


def _lines(proxies: Proxies) -> object:
    return [
        {
            "namespace": view.outbound.namespace,
            "kind": view.outbound.kind.value,
            "proven": proven,
            "offer": line.number,
            "resources": {type_url: len(of) for type_url, of in line.newest.resources.items()},
            "proxies": sum(seat.key == (view, proven) for seat in proxies.seats.values()),
        }
        for (view, proven), line in proxies.lines.items()
    ]


def _service(service: Service) -> dict[str, Any]:
    return {
        "Attributes": {"Name": service.name, "Namespace": service.namespace},
        "ports": [
            {"name": port.name, "port": port.number, "protocol": port.protocol.value}
            for port in service.ports
        ],
        "creationTime": service.created,
        "hostname": service.hostname,
        "clusterVIPs": {"Addresses": {"Kubernetes": list(service.addresses)}},
        "defaultAddress": service.addresses[0] if service.addresses else "0.0.0.0",
        "Resolution": _RESOLUTIONS[service.resolution.value],
        "MeshExternal": service.external,
    }


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "Labels": dict(endpoint.labels),
        "Addresses": [endpoint.address],
        "ServicePortName": endpoint.port_name,
        "ServiceAccount": endpoint.principal,
        "Locality": {"Label": endpoint.locality},
        "EndpointPort": endpoint.port,
        "LbWeight": endpoint.weight,
        "TLSMode": "istio" if endpoint.meshed else "disabled",
        "WorkloadName": endpoint.workload.partition(";")[0],
        "HealthStatus": 1,
    }
