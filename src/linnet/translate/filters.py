"""Network filters: the HTTP connection manager with its ordered HTTP filters, and the TCP proxy.

Source: Istio, order of HTTP filters; the filters that only Istio's own build of Envoy has are replaced.
"""

from collections.abc import Iterable, Sequence

from linnet.envoy.messages import (
    BoolValue,
    CorsFilter,
    DataSource,
    Duration,
    FilterStateValue,
    GrpcStats,
    Http1ProtocolOptions,
    HttpConnectionManager,
    HTTPFault,
    HttpFilter,
    HttpInspector,
    HttpSetFilterState,
    ListenerFilter,
    NetworkFilter,
    OriginalDst,
    Rds,
    RequestIDExtension,
    RouteConfiguration,
    Router,
    SubstitutionFormatString,
    TcpProxy,
    TlsInspector,
    UuidRequestIdConfig,
)
from linnet.model.snapshot import MeshConfig
from linnet.translate import authorization, names, tokens
from linnet.translate.logs import access_logs
from linnet.translate.tokens import Checks
from linnet.translate.wire import ads, any_of, duration, uint32

FAULT = "envoy.filters.http.fault"
CORS = "envoy.filters.http.cors"
TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"
HTTP_INSPECTOR = "envoy.filters.listener.http_inspector"
# What a client of the mesh offers for requests: servers tell by it that HTTP follows, and select none of it.
_ALPN_OF_REQUESTS = "istio-http/1.1,istio-h2,istio"
# An endpoint whose process was killed refuses connections until everybody knows. Envoy forgets which one
# refused, and the balancer prefers it, as it has the fewest connections.
_CONNECT_ATTEMPTS = 10


def _alpn() -> HttpFilter:
    """Tells the server's proxy, by ALPN, that HTTP follows."""
    line = SubstitutionFormatString(text_format_source=DataSource(inline_string=_ALPN_OF_REQUESTS))
    value = FilterStateValue(object_key="envoy.network.application_protocols", format_string=line)
    return HttpFilter(
        name=names.ALPN_FILTER, typed_config=any_of(HttpSetFilterState(on_request_headers=[value]))
    )


def _http_filters(checks: Checks, *, calls: bool) -> list[HttpFilter]:
    """All HTTP filters in their order; `calls` for proxies that call the mesh."""
    stats = GrpcStats(emit_filter_state=True, stats_for_all_methods=BoolValue(value=False))
    return [
        *tokens.filters(checks),
        *authorization.http_filters(checks.policies),
        HttpFilter(name="envoy.filters.http.grpc_stats", typed_config=any_of(stats)),
        *([_alpn()] if calls else []),
        HttpFilter(name=FAULT, typed_config=any_of(HTTPFault())),
        HttpFilter(name=CORS, typed_config=any_of(CorsFilter())),
        HttpFilter(name="envoy.filters.http.router", typed_config=any_of(Router())),
    ]


def _manager(stat_prefix: str, config: MeshConfig, filters: Iterable[HttpFilter]) -> HttpConnectionManager:
    """What all connection managers have in common."""
    uuid = UuidRequestIdConfig(use_request_id_for_trace_sampling=BoolValue(value=True))
    return HttpConnectionManager(
        stat_prefix=f"{stat_prefix};",
        http_filters=filters,
        use_remote_address=BoolValue(value=False),
        http_protocol_options=Http1ProtocolOptions(accept_http_10=True),  # ab, nginx and their like ask so
        normalize_path=BoolValue(value=True),
        path_with_escaped_slashes_action=HttpConnectionManager.KEEP_UNCHANGED,
        proxy_100_continue=True,
        stream_idle_timeout=Duration(),
        server_name="istio-envoy",
        upgrade_configs=[HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        request_id_extension=RequestIDExtension(typed_config=any_of(uuid)),
        access_log=access_logs(config),
    )


def _filter(manager: HttpConnectionManager) -> NetworkFilter:
    return NetworkFilter(name="envoy.filters.network.http_connection_manager", typed_config=any_of(manager))


def outbound_http(stat_prefix: str, route: str, config: MeshConfig) -> NetworkFilter:
    """Requests of the application, routed by a route table that comes over ADS."""
    manager = _manager(stat_prefix, config, _http_filters(Checks(), calls=True))
    manager.rds.CopyFrom(Rds(route_config_name=route, config_source=ads()))
    return _filter(manager)


def inbound_http(
    stat_prefix: str,
    routes: RouteConfiguration,
    checks: Checks,
    config: MeshConfig,
) -> NetworkFilter:
    """Requests to the workload."""
    manager = _manager(stat_prefix, config, _http_filters(checks, calls=False))
    manager.route_config.CopyFrom(routes)
    manager.forward_client_cert_details = HttpConnectionManager.APPEND_FORWARD
    details = manager.set_current_client_cert_details
    details.subject.CopyFrom(BoolValue(value=True))
    details.uri = details.dns = True
    return _filter(manager)


def gateway_http(stat_prefix: str, route: str, checks: Checks, config: MeshConfig) -> NetworkFilter:
    """Requests from outside, or from the mesh, at a gateway."""
    manager = _manager(stat_prefix, config, _http_filters(checks, calls=True))
    manager.rds.CopyFrom(Rds(route_config_name=route, config_source=ads()))
    manager.use_remote_address.value = True
    manager.forward_client_cert_details = HttpConnectionManager.SANITIZE_SET
    details = manager.set_current_client_cert_details
    details.subject.CopyFrom(BoolValue(value=True))
    details.cert = details.uri = details.dns = True
    return _filter(manager)


def tcp_proxy(
    stat_prefix: str,
    clusters: Sequence[tuple[str, int]],
    config: MeshConfig,
    *,
    idle_timeout: float = 0,
    elsewhere: bool = False,
) -> NetworkFilter:
    """Connections to a cluster, or by weight to one of several; the idle timeout is in seconds.

    `elsewhere`: an endpoint that does not accept is not the last one to be asked.
    """
    proxy = TcpProxy(stat_prefix=stat_prefix, access_log=access_logs(config))
    if elsewhere:
        proxy.max_connect_attempts.CopyFrom(uint32(_CONNECT_ATTEMPTS))
    if len(clusters) == 1:
        proxy.cluster = clusters[0][0]
    else:
        proxy.weighted_clusters.clusters.extend(
            TcpProxy.WeightedCluster.ClusterWeight(name=name, weight=weight) for name, weight in clusters
        )
    if idle_timeout:
        proxy.idle_timeout.CopyFrom(duration(idle_timeout))
    return NetworkFilter(name="envoy.filters.network.tcp_proxy", typed_config=any_of(proxy))


def to(cluster: str, config: MeshConfig, *, idle_timeout: float = 0) -> NetworkFilter:
    """Connections to one cluster."""
    return tcp_proxy(cluster, [(cluster, 1)], config, idle_timeout=idle_timeout)


def tls_inspector() -> ListenerFilter:
    """Reads server name and protocols from a TLS greeting."""
    return ListenerFilter(name=TLS_INSPECTOR, typed_config=any_of(TlsInspector()))


def http_inspector() -> ListenerFilter:
    """Tells HTTP by its first bytes."""
    return ListenerFilter(name=HTTP_INSPECTOR, typed_config=any_of(HttpInspector()))


def original_dst() -> ListenerFilter:
    """Finds where a redirected connection wanted to go."""
    return ListenerFilter(name="envoy.filters.listener.original_dst", typed_config=any_of(OriginalDst()))
