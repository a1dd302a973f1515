"""Gateway: what gateway proxies listen for, checked so that Envoy takes every listener.

Source: Istio, Gateway.
"""

from msgspec.structs import replace

from linnet.ingest import values
from linnet.ingest.decode import Item, spec_of
from linnet.ingest.names import full_host
from linnet.ingest.report import Report
from linnet.ingest.routes import is_server_name
from linnet.model.gateway import Gateway, Server, ServerProtocol, ServerTls, ServerTlsMode
from linnet.model.snapshot import MeshConfig
from linnet.objects import gateway as written

_PROTOCOLS = {
    "HTTP": ServerProtocol.HTTP,
    "HTTP2": ServerProtocol.HTTP,
    "GRPC": ServerProtocol.HTTP,
    "GRPC-WEB": ServerProtocol.HTTP,
    "HTTPS": ServerProtocol.HTTPS,
    "TCP": ServerProtocol.TCP,
    "MONGO": ServerProtocol.TCP,
    "REDIS": ServerProtocol.TCP,
    "MYSQL": ServerProtocol.TCP,
    "TLS": ServerProtocol.TLS,
}
_SECURE = {ServerProtocol.HTTPS, ServerProtocol.TLS}
_VERSIONS = {"TLSV1_0": "TLSv1_0", "TLSV1_1": "TLSv1_1", "TLSV1_2": "TLSv1_2", "TLSV1_3": "TLSv1_3"}
# Those that Envoy's TLS library knows; a name that it does not know would make it refuse the listener.
_CIPHERS = frozenset(
    {
        *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        *("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
        *("ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA"),
        *("ECDHE-RSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA"),
    }
)


def gateway(held: Item, config: MeshConfig, report: Report) -> Gateway | None:
    """What an object says; servers that are wrong are left out. None if it is not readable."""
    spec = spec_of(held, written.GatewaySpec, report)
    if spec is None:
        return None
    servers: list[Server] = []
    for number, one in enumerate(spec.servers):
        server = _server(one, held.namespace, config.domain, f"spec.servers[{number}]", report)
        if server is not None:
            servers.append(replace(server, index=number))
    selector = frozenset((spec.selector or {}).items())
    return Gateway(held.namespace, held.name, held.created, selector, tuple(servers))


def _server(held: written.Server, namespace: str, domain: str, path: str, report: Report) -> Server | None:
    protocol = _PROTOCOLS.get(held.port.protocol.upper())
    if protocol is None:
        report.invalid(f"{path}.port.protocol", f"{held.port.protocol!r} is not a known protocol")
        return None
    if not values.is_port(held.port.number):
        report.invalid(f"{path}.port.number", f"{held.port.number} is not the number of a port")
        return None
    if held.bind and not values.is_address(held.bind):
        report.invalid(f"{path}.bind", f"{held.bind!r} is not an IP address")
        return None
    hosts = tuple(_hosts(held.hosts, namespace, domain, f"{path}.hosts", report))
    if not hosts:
        report.invalid(f"{path}.hosts", "names no host")
        return None
    tls: ServerTls | None = None
    if protocol in _SECURE or (held.tls is not None and held.tls.mode and protocol is ServerProtocol.TCP):
        if held.tls is None:
            report.invalid(f"{path}.tls", "is needed for this protocol")
            return None
        tls = _tls(held.tls, f"{path}.tls", report)
        if tls is None:
            return None
        if protocol is ServerProtocol.TCP:
            protocol = ServerProtocol.TLS
    return Server(
        port=held.port.number,
        port_name=held.port.name,
        protocol=protocol,
        hosts=hosts,
        bind=held.bind or "",
        redirect=held.tls is not None and bool(held.tls.https_redirect) and protocol is ServerProtocol.HTTP,
        tls=tls,
    )


def _hosts(
    texts: tuple[str, ...], namespace: str, domain: str, path: str, report: Report
) -> list[tuple[str, str]]:
    """(namespace or `*`, host) pairs of ``host`` and ``namespace/host``."""
    found: list[tuple[str, str]] = []
    for number, text in enumerate(texts):
        home, slash, name = text.rpartition("/")
        host = full_host(name, namespace, domain) if name != "*" else name
        if not is_server_name(host):
            report.invalid(f"{path}[{number}]", f"{text!r} is not the name of a host")
        else:
            found.append((namespace if home == "." else home if slash else "*", host))
    return list(dict.fromkeys(found))


def _tls(held: written.ServerTls, path: str, report: Report) -> ServerTls | None:
    if held.mode == "AUTO_PASSTHROUGH":
        report.not_honoured(f"{path}.mode")
        return None
    mode = ServerTlsMode(held.mode or "PASSTHROUGH")
    if mode in {ServerTlsMode.PASSTHROUGH, ServerTlsMode.MESH}:
        return ServerTls(mode)
    credentials = held.credential_names or ((held.credential_name,) if held.credential_name else ())
    if any("://" in name or not name for name in credentials):
        report.invalid(f"{path}.credentialName", "is not the name of a Secret")
        return None
    if not credentials:
        # Files in the proxy's container may not be there, and Envoy would refuse the whole listener.
        report.invalid(f"{path}.credentialName", "is needed: no other certificates have an effect yet")
        return None
    known = tuple(dict.fromkeys(name for name in held.cipher_suites if name in _CIPHERS))
    if len(known) < len(set(held.cipher_suites)):
        unknown = sorted(set(held.cipher_suites) - _CIPHERS)
        report.invalid(f"{path}.cipherSuites", f"has names that are not known: {', '.join(unknown)}")
    least, most = (_VERSIONS.get(v or "", "") for v in (held.min_protocol_version, held.max_protocol_version))
    if least and most and least > most:
        report.invalid(f"{path}.minProtocolVersion", "is above maxProtocolVersion")
        least = most = ""
    return ServerTls(
        mode=mode,
        credentials=credentials,
        ca=held.ca_cert_credential_name or "",
        names=held.subject_alt_names,
        min_version=least,
        max_version=most,
        ciphers=known,
    )
