"""Gateway, DestinationRule, ServiceEntry, Sidecar: what admission refuses (pure).

Source: Istio, validation.
"""

from linnet.admit import names
from linnet.ingest.report import Report
from linnet.ingest.sidecars import egress_host
from linnet.ingest.values import is_address
from linnet.objects.destination_rule import (
    ClientTls,
    ConnectionPool,
    DestinationRuleSpec,
    LoadBalancer,
    OutlierDetection,
    PortPolicy,
    TrafficPolicy,
)
from linnet.objects.gateway import GatewaySpec, Server
from linnet.objects.service_entry import ServiceEntrySpec, WorkloadEntrySpec
from linnet.objects.sidecar import SidecarSpec

_PLAIN = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
_ENCRYPTED = frozenset({"HTTPS", "TLS"})
_CERTIFIED = frozenset({"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"})


def gateway(spec: GatewaySpec, report: Report) -> None:
    """Report everything that is wrong with a Gateway."""
    if not spec.servers:
        report.invalid("spec.servers", "gateway must have at least one server")
    names.labels(spec.selector, "spec.selector", report)
    for index, server in enumerate(spec.servers):
        _server(server, f"spec.servers[{index}]", report)
    names.unique((server.port.name for server in spec.servers), "spec.servers", "port name", report)


def _server(server: Server, path: str, report: Report) -> None:
    if not server.hosts:
        report.invalid(f"{path}.hosts", "server config must contain at least one host")
    for index, text in enumerate(server.hosts):
        here = f"{path}.hosts[{index}]"
        namespace, slash, host = text.rpartition("/")
        if slash and namespace not in ("*", "."):
            names.label(namespace, here, report)
        names.host(host, here, report, address=True)
    if not server.port.name:
        report.invalid(f"{path}.port.name", "port name must be set")
    names.port(server.port.number, f"{path}.port.number", report)
    names.protocol(server.port.protocol, f"{path}.port.protocol", report)
    if server.bind and not server.bind.startswith("unix://") and not is_address(server.bind):
        report.invalid(f"{path}.bind", f"{server.bind!r} is not an IP address")
    _server_tls(server, path, report)


def _server_tls(server: Server, path: str, report: Report) -> None:
    protocol, tls = server.port.protocol.upper(), server.tls
    here = f"{path}.tls"
    if protocol in _ENCRYPTED and tls is None:
        report.invalid(here, "server must have TLS settings for HTTPS/TLS protocols")
    if tls is None:
        return
    if protocol in _PLAIN and (tls.mode or tls.credential_name or tls.server_certificate):
        report.invalid(here, f"server cannot have TLS settings for protocol {protocol}; only httpsRedirect")
    if tls.https_redirect and protocol in _ENCRYPTED:
        report.invalid(here, "tls.httpsRedirect should only be used with http servers")
    mode = tls.mode or "PASSTHROUGH"
    named = bool(tls.credential_name or tls.credential_names or tls.tls_certificates)
    if protocol in _ENCRYPTED and mode in _CERTIFIED and not named:
        if not tls.server_certificate:
            report.invalid(
                f"{here}.serverCertificate", f"{mode} TLS requires a server certificate or credentialName"
            )
        if not tls.private_key:
            report.invalid(f"{here}.privateKey", f"{mode} TLS requires a private key or credentialName")
        if mode == "MUTUAL" and not tls.ca_certificates:
            report.invalid(
                f"{here}.caCertificates", "MUTUAL TLS requires a client CA bundle or credentialName"
            )


def destination_rule(spec: DestinationRuleSpec, report: Report) -> None:
    """Report everything that is wrong with a DestinationRule."""
    names.host(spec.host, "spec.host", report)
    names.exports(spec.export_to, "spec.exportTo", report)
    if spec.traffic_policy:
        _policy(spec.traffic_policy, "spec.trafficPolicy", report)
    names.unique((subset.name for subset in spec.subsets), "spec.subsets", "subset", report)
    for index, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{index}]"
        names.label(subset.name, f"{path}.name", report)
        names.labels(subset.labels, f"{path}.labels", report)
        if subset.traffic_policy:
            _policy(subset.traffic_policy, f"{path}.trafficPolicy", report)


def _policy(policy: TrafficPolicy | PortPolicy, path: str, report: Report) -> None:
    _pool(policy.connection_pool, f"{path}.connectionPool", report)
    _balancer(policy.load_balancer, f"{path}.loadBalancer", report)
    _outliers(policy.outlier_detection, f"{path}.outlierDetection", report)
    _client_tls(policy.tls, f"{path}.tls", report)
    if isinstance(policy, TrafficPolicy):
        for index, settings in enumerate(policy.port_level_settings):
            here = f"{path}.portLevelSettings[{index}]"
            if settings.port is None:
                report.invalid(f"{here}.port", "portLevelSettings must name a port")
            else:
                names.port(settings.port.number, f"{here}.port.number", report)
            _policy(settings, here, report)
    elif policy.port is None:
        return


def _pool(pool: ConnectionPool | None, path: str, report: Report) -> None:
    if pool is None:
        return
    if pool.tcp is None and pool.http is None:
        report.invalid(path, "connection pool must have at least one field")
    if pool.tcp:
        names.duration(pool.tcp.connect_timeout, f"{path}.tcp.connectTimeout", report, least=0.001)
        names.duration(pool.tcp.idle_timeout, f"{path}.tcp.idleTimeout", report)
        if (pool.tcp.max_connections or 0) < 0:
            report.invalid(f"{path}.tcp.maxConnections", "max connections must be non-negative")
    if pool.http:
        names.duration(pool.http.idle_timeout, f"{path}.http.idleTimeout", report)
        for name, value in (
            ("http1MaxPendingRequests", pool.http.http1_max_pending_requests),
            ("http2MaxRequests", pool.http.http2_max_requests),
            ("maxRequestsPerConnection", pool.http.max_requests_per_connection),
            ("maxRetries", pool.http.max_retries),
        ):
            if (value or 0) < 0:
                report.invalid(f"{path}.http.{name}", "must be non-negative")


def _balancer(balancer: LoadBalancer | None, path: str, report: Report) -> None:
    if balancer is None:
        return
    hashed = balancer.consistent_hash
    if balancer.simple and hashed:
        report.invalid(path, "simple and consistentHash cannot both be set")
    if hashed is not None:
        keys = (
            hashed.http_cookie,
            hashed.http_header_name,
            hashed.http_query_parameter_name,
            hashed.use_source_ip,
        )
        if sum(bool(key) for key in keys) != 1:
            report.invalid(f"{path}.consistentHash", "exactly one hash key must be set")
        if hashed.http_cookie:
            names.duration(hashed.http_cookie.ttl, f"{path}.consistentHash.httpCookie.ttl", report)
    names.duration(balancer.warmup_duration_secs, f"{path}.warmupDurationSecs", report)


def _outliers(outliers: OutlierDetection | None, path: str, report: Report) -> None:
    if outliers is None:
        return
    names.duration(outliers.base_ejection_time, f"{path}.baseEjectionTime", report, least=0.001)
    names.duration(outliers.interval, f"{path}.interval", report, least=0.001)
    for name, value in (
        ("maxEjectionPercent", outliers.max_ejection_percent),
        ("minHealthPercent", outliers.min_health_percent),
    ):
        if value is not None and not 0 <= value <= 100:
            report.invalid(f"{path}.{name}", f"percentage {value} is not in range 0..100")


def _client_tls(tls: ClientTls | None, path: str, report: Report) -> None:
    if tls is None:
        return
    files = (tls.client_certificate, tls.private_key, tls.ca_certificates)
    if tls.mode == "MUTUAL" and not tls.credential_name:
        if not tls.client_certificate:
            report.invalid(f"{path}.clientCertificate", "client certificate required for mutual tls")
        if not tls.private_key:
            report.invalid(f"{path}.privateKey", "private key required for mutual tls")
    if tls.mode == "ISTIO_MUTUAL" and (any(files) or tls.credential_name):
        report.invalid(path, "ISTIO_MUTUAL takes no certificates: the mesh provides them")


def service_entry(spec: ServiceEntrySpec, report: Report) -> None:
    """Report everything that is wrong with a ServiceEntry."""
    if not spec.hosts:
        report.invalid("spec.hosts", "service entry must have at least one host")
    for index, host in enumerate(spec.hosts):
        if host == "*":
            report.invalid(f"spec.hosts[{index}]", "invalid host *: a full wildcard captures everything")
        names.host(host, f"spec.hosts[{index}]", report, address=True)
    names.unique(spec.hosts, "spec.hosts", "host", report)
    names.exports(spec.export_to, "spec.exportTo", report)
    for index, address in enumerate(spec.addresses):
        names.network(address, f"spec.addresses[{index}]", report)
    names.unique((port.name for port in spec.ports), "spec.ports", "port name", report)
    names.unique((str(port.number) for port in spec.ports), "spec.ports", "port number", report)
    for index, port in enumerate(spec.ports):
        names.port(port.number, f"spec.ports[{index}].number", report)
        names.port(port.target_port, f"spec.ports[{index}].targetPort", report)
        if port.protocol:
            names.protocol(port.protocol, f"spec.ports[{index}].protocol", report)
    _endpoints(spec, report)


def _endpoints(spec: ServiceEntrySpec, report: Report) -> None:
    if spec.workload_selector and spec.endpoints:
        report.invalid("spec", "only one of workloadSelector or endpoints is allowed in a service entry")
    if (spec.resolution or "NONE") == "NONE" and spec.endpoints:
        report.invalid("spec.endpoints", "no endpoints should be provided for resolution type none")
    declared = {port.name for port in spec.ports}
    for index, endpoint in enumerate(spec.endpoints):
        path = f"spec.endpoints[{index}]"
        workload_entry(endpoint, report, path=path, static=spec.resolution == "STATIC")
        for name in endpoint.ports or {}:
            if name not in declared:
                report.invalid(f"{path}.ports", f"port {name!r} is not one of spec.ports")
    if (spec.resolution or "").startswith("DNS") and not spec.endpoints:
        for index, host in enumerate(spec.hosts):
            if host.startswith("*"):
                report.invalid(
                    f"spec.hosts[{index}]",
                    "hosts must be FQDN if no endpoints are provided for resolution DNS",
                )


def workload_entry(
    spec: WorkloadEntrySpec, report: Report, *, path: str = "spec", static: bool = False
) -> None:
    """Report everything that is wrong with a WorkloadEntry, or an endpoint of a ServiceEntry."""
    address = spec.address or ""
    if not address:
        if not spec.network:
            report.invalid(f"{path}.address", "address is required")
    elif static and not address.startswith("unix://") and not is_address(address):
        report.invalid(f"{path}.address", f"{address!r} is not an IP address, which resolution STATIC needs")
    elif not address.startswith("unix://"):
        names.host(address, f"{path}.address", report, wildcard=False, address=True)
    names.labels(spec.labels, f"{path}.labels", report)
    for name, number in (spec.ports or {}).items():
        names.label(name, f"{path}.ports", report)
        names.port(number, f"{path}.ports.{name}", report)


def sidecar(spec: SidecarSpec, report: Report) -> None:
    """Report everything that is wrong with a Sidecar."""
    selector = spec.workload_selector
    names.labels(selector.labels if selector else None, "spec.workloadSelector.labels", report)
    for index, egress in enumerate(spec.egress):
        path = f"spec.egress[{index}].hosts"
        if not egress.hosts:
            report.invalid(path, "egress must contain at least one host")
        for number, text in enumerate(egress.hosts):
            if egress_host(text) is None:
                report.invalid(f"{path}[{number}]", f"{text!r} is not of the form namespace/dnsName")
