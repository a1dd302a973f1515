"""Kubernetes Services become services.

Source: Istio, protocol selection and `Service` conversion: names and application protocols of ports.
"""

from linnet.ingest.names import exports, service_host
from linnet.model.service import Port, Protocol, Resolution, Service
from linnet.objects import core

EXPORT_TO = "networking.istio.io/exportTo"
_BY_NAME = {
    "http": Protocol.HTTP,
    "http_proxy": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.GRPC_WEB,
    "https": Protocol.HTTPS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.TCP,
    "redis": Protocol.TCP,
    "mysql": Protocol.TCP,
    "udp": Protocol.UDP,
}
_BY_APPLICATION = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}
_SERVER_SPEAKS_FIRST = {25, 53, 3306, 27017}  # sniffing would wait for a client that waits itself


def protocol(name: str, application: str | None, number: int) -> Protocol:
    """What a port speaks, by its application protocol, its name, or its number."""
    if application in _BY_APPLICATION:
        return _BY_APPLICATION[application]
    told = (application or name).lower()
    if told.startswith("grpc-web"):
        return Protocol.GRPC_WEB
    by_name = _BY_NAME.get(told.partition("-")[0])
    if by_name is not None:
        return by_name
    return Protocol.TCP if number in _SERVER_SPEAKS_FIRST else Protocol.UNKNOWN


def _port(port: core.ServicePort) -> Port:
    name = port.name or ""
    speaks = Protocol.UDP if port.protocol == "UDP" else protocol(name, port.app_protocol, port.port)
    target = "" if port.target_port is None else str(port.target_port)
    return Port(port.port, name, speaks, target)


def service(held: core.Service, domain: str, aliases: tuple[str, ...] = ()) -> Service:
    """The service that a Kubernetes Service is. An ExternalName is none: see `alias`."""
    meta, spec = held.metadata, held.spec
    addresses = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    headless = "None" in addresses
    given = (meta.annotations or {}).get(EXPORT_TO, "")
    exported = (value.strip() for value in given.split(","))
    return Service(
        hostname=service_host(meta.name, meta.namespace, domain),
        namespace=meta.namespace,
        name=meta.name,
        ports=tuple(_port(port) for port in spec.ports or ()),
        addresses=() if headless else tuple(addresses),
        resolution=Resolution.PASSTHROUGH if headless else Resolution.ENDPOINTS,
        exported_to=exports(filter(None, exported), meta.namespace),
        created=meta.creation_timestamp or "",
        selector=frozenset(spec.selector.items()) if spec.selector else None,
        aliases=aliases,
    )


def alias(held: core.Service, domain: str) -> tuple[str, str] | None:
    """(name, target) of an ExternalName Service; None for any other."""
    spec = held.spec
    if spec.type != "ExternalName" or not spec.external_name:
        return None
    return service_host(held.metadata.name, held.metadata.namespace, domain), spec.external_name.rstrip(".")
