"""Clusters: one for each port of each service, one for each subset of it, and some fixed ones (CDS).

Source: Istio, cluster names, types and defaults.
"""

from typing import Any

from linnet.envoy.messages import (
    BindConfig,
    CircuitBreakers,
    Cluster,
    ClusterLoadAssignment,
    CoreHttpProtocolOptions,
    Duration,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    Metadata,
    OutlierDetection,
    Percent,
    SocketAddress,
    Struct,
    TcpKeepalive,
    UInt64Value,
    UpstreamConnectionOptions,
)
from linnet.model.policy import (
    Balancer,
    Balancing,
    ClientTls,
    DestinationRule,
    Outlier,
    PeerMode,
    Pool,
    PortPolicy,
    Subset,
    TlsMode,
)
from linnet.model.proxy import InboundPort, ProxyKind
from linnet.model.resource import Resource
from linnet.model.service import Backends, Endpoint, Port, Protocol, Resolution, Service
from linnet.model.snapshot import MeshConfig
from linnet.translate import names, tls
from linnet.translate.endpoints import load_assignment
from linnet.translate.scope import policy_of
from linnet.translate.wire import ads, any_of, duration, resource, uint32

_UNLIMITED = 4294967295
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_FOREVER = Duration(seconds=9223372035)
NO_POOL = Pool()
# Seconds after which an unused connection to the workload is closed: before the workload does it (its server
# waits for 1 s or longer), since a request that meets that end on its way is lost, and nobody may repeat it.
_IDLE = 0.5


def _breakers(pool: Pool, policy: PortPolicy) -> CircuitBreakers:
    threshold = CircuitBreakers.Thresholds(
        max_connections=uint32(pool.max_connections or _UNLIMITED),
        max_pending_requests=uint32(pool.max_pending or _UNLIMITED),
        max_requests=uint32(pool.max_requests or _UNLIMITED),
        max_retries=uint32(_UNLIMITED if pool.max_retries is None else pool.max_retries),
    )
    if policy.retry_budget is not None:
        threshold.retry_budget.budget_percent.value = policy.retry_budget.percent
        threshold.retry_budget.min_retry_concurrency.value = policy.retry_budget.least
    return CircuitBreakers(thresholds=[threshold])


def _both_protocols() -> HttpProtocolOptions.UseDownstreamHttpConfig:
    return HttpProtocolOptions.UseDownstreamHttpConfig(
        http_protocol_options=Http1ProtocolOptions(), http2_protocol_options=Http2ProtocolOptions()
    )


def _http_options(protocol: Protocol, pool: Pool, *, router: bool) -> HttpProtocolOptions | None:
    """What requests travel as; None for Envoy's own choice, HTTP/1.1."""
    options = HttpProtocolOptions()
    common = options.common_http_protocol_options
    if pool.idle_timeout or pool.tcp_idle_timeout:
        common.idle_timeout.CopyFrom(duration(pool.idle_timeout or pool.tcp_idle_timeout))
    if pool.requests_per_connection:
        common.max_requests_per_connection.value = pool.requests_per_connection
    if pool.max_connection_duration:
        common.max_connection_duration.CopyFrom(duration(pool.max_connection_duration))
    said = options.HasField("common_http_protocol_options") and common.ByteSize() > 0
    second = Http2ProtocolOptions()
    if pool.concurrent_streams:
        second.max_concurrent_streams.value = pool.concurrent_streams
    if pool.client_protocol or (protocol is Protocol.UNKNOWN and not router):
        options.use_downstream_protocol_config.CopyFrom(_both_protocols())
    elif protocol.is_http2 or (pool.upgrade and protocol is Protocol.HTTP):
        options.explicit_http_config.http2_protocol_options.CopyFrom(second)
    elif said:
        options.explicit_http_config.http_protocol_options.SetInParent()
    else:
        return None
    return options


def _outlier(policy: Outlier) -> OutlierDetection:
    held = OutlierDetection(enforcing_success_rate=uint32(0))
    if policy.consecutive_5xx is not None:
        held.consecutive_5xx.value = policy.consecutive_5xx
        held.enforcing_consecutive_5xx.value = 100 if policy.consecutive_5xx else 0
    if policy.consecutive_gateway is not None:
        held.consecutive_gateway_failure.value = policy.consecutive_gateway
        held.enforcing_consecutive_gateway_failure.value = 100 if policy.consecutive_gateway else 0
    if policy.split_local:
        held.split_external_local_origin_errors = True
        held.enforcing_local_origin_success_rate.value = 0
        if policy.consecutive_local is not None:
            held.consecutive_local_origin_failure.value = policy.consecutive_local
            held.enforcing_consecutive_local_origin_failure.value = 100 if policy.consecutive_local else 0
    if policy.interval is not None:
        held.interval.CopyFrom(duration(policy.interval))
    if policy.base_ejection is not None:
        held.base_ejection_time.CopyFrom(duration(policy.base_ejection))
    if policy.max_percent is not None:
        held.max_ejection_percent.value = policy.max_percent
    return held


def _balance(cluster: Cluster, balancer: Balancer) -> None:
    match balancer.kind:
        case Balancing.RING_HASH:
            cluster.lb_policy = Cluster.RING_HASH
            cluster.ring_hash_lb_config.minimum_ring_size.CopyFrom(UInt64Value(value=balancer.size or 1024))
        case Balancing.MAGLEV:
            cluster.lb_policy = Cluster.MAGLEV
            if balancer.size:
                cluster.maglev_lb_config.table_size.CopyFrom(UInt64Value(value=balancer.size))
        case Balancing.PASSTHROUGH:
            cluster.lb_policy = Cluster.CLUSTER_PROVIDED
        case Balancing.ROUND_ROBIN:
            cluster.lb_policy = Cluster.ROUND_ROBIN
        case Balancing.RANDOM:
            cluster.lb_policy = Cluster.RANDOM
        case Balancing.LEAST_REQUEST:
            cluster.lb_policy = Cluster.LEAST_REQUEST
    if balancer.warmup and balancer.kind in {Balancing.ROUND_ROBIN, Balancing.LEAST_REQUEST}:
        slow = Cluster.SlowStartConfig(slow_start_window=duration(balancer.warmup))
        if balancer.warmup_aggression:
            slow.aggression.default_value = balancer.warmup_aggression
            slow.aggression.runtime_key = "linnet.warmup"
        if balancer.warmup_minimum:
            slow.min_weight_percent.CopyFrom(Percent(value=balancer.warmup_minimum))
        if balancer.kind is Balancing.ROUND_ROBIN:
            cluster.round_robin_lb_config.slow_start_config.CopyFrom(slow)
        else:
            cluster.least_request_lb_config.slow_start_config.CopyFrom(slow)


def _about(service: Service, rule: DestinationRule | None, subset: str, *, own_tls: bool) -> Metadata:
    """Istio's metadata: what the cluster is of."""
    istio = Struct()
    held: dict[str, Any] = {
        "services": [{"host": service.hostname, "name": service.name, "namespace": service.namespace}]
    }
    if rule is not None:
        held["config"] = (
            f"/apis/networking.istio.io/v1/namespaces/{rule.namespace}/destination-rule/{rule.name}"
        )
    if subset:
        held["subset"] = subset
    if own_tls:
        held["alpn_override"] = "false"
    if service.external:
        held["external"] = True
    istio.update(held)
    return Metadata(filter_metadata={"istio": istio})


def effective_tls(
    service: Service, policy: PortPolicy, backends: Backends, mode: PeerMode, config: MeshConfig
) -> ClientTls | None:
    """How a client encrypts: as a rule says, or with None automatically; mode DISABLE is plain.

    Source: Istio, automatic mTLS: never out of the mesh; to headless services only if all endpoints take it.
    """
    if policy.tls is not None:
        return policy.tls
    off = ClientTls(TlsMode.DISABLE)
    if service.external or not config.auto_mtls or mode is PeerMode.DISABLE:
        return off
    if is_passthrough(service, policy) and not backends.all_meshed:
        return off
    return None


def is_passthrough(service: Service, policy: PortPolicy) -> bool:
    """The connection goes where the caller wanted, no endpoint is picked."""
    asked = policy.balancer is not None and policy.balancer.kind is Balancing.PASSTHROUGH
    return asked or service.resolution is Resolution.PASSTHROUGH


def _encrypt(
    cluster: Cluster,
    held: ClientTls | None,
    sni: str,
    principals: tuple[str, ...],
    config: MeshConfig,
    *,
    http2: bool,
) -> None:
    if held is None:
        socket = tls.mesh_client(sni, principals)
        if cluster.type == Cluster.ORIGINAL_DST:
            cluster.transport_socket.CopyFrom(socket)
            return
        meshed = Struct()
        meshed.update({"tlsMode": "istio"})
        cluster.transport_socket_matches.extend(
            [
                Cluster.TransportSocketMatch(name="tlsMode-istio", match=meshed, transport_socket=socket),
                Cluster.TransportSocketMatch(
                    name="tlsMode-disabled", match=Struct(), transport_socket=tls.plain()
                ),
            ]
        )
        return
    match held.mode:
        case TlsMode.DISABLE:
            pass
        case TlsMode.MESH:
            cluster.transport_socket.CopyFrom(tls.mesh_client(held.sni or sni, held.names or principals))
        case TlsMode.SIMPLE | TlsMode.MUTUAL:
            cluster.transport_socket.CopyFrom(tls.user_client(held, config, http2=http2))


def _discovery(
    cluster: Cluster, service: Service, port: Port, subset: Subset | None, endpoints: tuple[Endpoint, ...]
) -> None:
    """Say how endpoints are found. A logical DNS cluster needs exactly one name."""
    match service.resolution:
        case Resolution.DNS | Resolution.DNS_ROUND_ROBIN:
            held = load_assignment(cluster.name, service, port, subset, endpoints)
            round_robin = service.resolution is Resolution.DNS_ROUND_ROBIN and len(held.endpoints) > 0
            cluster.type = Cluster.LOGICAL_DNS if round_robin else Cluster.STRICT_DNS
            if round_robin:
                _only_first(held)
            cluster.dns_lookup_family = Cluster.V4_ONLY
            cluster.dns_refresh_rate.CopyFrom(duration(60))
            cluster.respect_dns_ttl = True
            cluster.load_assignment.CopyFrom(held)
        case _:
            cluster.type = Cluster.EDS
            cluster.eds_cluster_config.eds_config.CopyFrom(ads())
            cluster.eds_cluster_config.service_name = cluster.name


def _only_first(held: ClusterLoadAssignment) -> None:
    """A logical DNS cluster resolves exactly one name."""
    del held.endpoints[1:]
    del held.endpoints[0].lb_endpoints[1:]


def service_cluster(
    kind: ProxyKind,
    service: Service,
    port: Port,
    rule: DestinationRule | None,
    subset: Subset | None,
    backends: Backends,
    dns: tuple[Endpoint, ...],
    mode: PeerMode,
    config: MeshConfig,
) -> Resource:
    """The cluster of a service's port, or of a subset of it.

    `dns` are the endpoints of a service that Envoy resolves itself; `mode` is the mTLS mode of its namespace.
    """
    policy = policy_of(rule, subset, port.number)
    pool = policy.pool or NO_POOL
    name = names.outbound(port.number, service.hostname, subset.name if subset is not None else "")
    router = kind is ProxyKind.ROUTER
    held = effective_tls(service, policy, backends, mode, config)
    own_tls = held is not None and held.mode in {TlsMode.SIMPLE, TlsMode.MUTUAL}
    cluster = Cluster(
        name=name,
        alt_stat_name=f"{name};",
        connect_timeout=duration(pool.connect_timeout or config.connect_timeout),
        circuit_breakers=_breakers(pool, policy),
        metadata=_about(service, rule, subset.name if subset is not None else "", own_tls=own_tls),
    )
    if is_passthrough(service, policy) and not router:
        cluster.type, cluster.lb_policy = Cluster.ORIGINAL_DST, Cluster.CLUSTER_PROVIDED
        if port.target.isdecimal() and not service.kubernetes:
            cluster.original_dst_lb_config.upstream_port_override.value = int(port.target)
    else:
        _discovery(cluster, service, port, subset, dns)
        usual = Balancer()
        balancer = policy.balancer or usual
        _balance(cluster, usual if balancer.kind is Balancing.PASSTHROUGH else balancer)
    options = _http_options(port.protocol, pool, router=router)
    if options is not None:
        cluster.typed_extension_protocol_options[_HTTP].CopyFrom(any_of(options))
    principals = (*backends.principals, *service.alternative_names)
    sni = names.sni(port.number, service.hostname, subset.name if subset is not None else "")
    http2 = port.protocol.is_http2 or (pool.upgrade and port.protocol is Protocol.HTTP)
    _encrypt(cluster, held, sni, principals, config, http2=http2)
    if policy.outlier is not None and cluster.type != Cluster.ORIGINAL_DST:
        cluster.outlier_detection.CopyFrom(_outlier(policy.outlier))
        panic = Percent(value=policy.outlier.min_health_percent)
        cluster.common_lb_config.healthy_panic_threshold.CopyFrom(panic)
    if pool.keepalive is not None:
        cluster.upstream_connection_options.CopyFrom(_keepalive(pool))
    return resource(name, cluster)


def _keepalive(pool: Pool) -> UpstreamConnectionOptions:
    assert pool.keepalive is not None
    held = TcpKeepalive()
    if pool.keepalive.probes:
        held.keepalive_probes.value = pool.keepalive.probes
    if pool.keepalive.time:
        held.keepalive_time.value = pool.keepalive.time
    if pool.keepalive.interval:
        held.keepalive_interval.value = pool.keepalive.interval
    return UpstreamConnectionOptions(tcp_keepalive=held)


def _original(name: str, config: MeshConfig) -> Cluster:
    """A cluster that goes where the connection wanted to go."""
    return Cluster(
        name=name,
        alt_stat_name=f"{name};",
        type=Cluster.ORIGINAL_DST,
        lb_policy=Cluster.CLUSTER_PROVIDED,
        connect_timeout=duration(config.connect_timeout),
        circuit_breakers=_breakers(NO_POOL, PortPolicy()),
    )


def _from_loopback() -> BindConfig:
    """The source address that tells redirects to leave a connection alone."""
    return BindConfig(source_address=SocketAddress(address=names.INBOUND_SOURCE, port_value=0))


def _passthrough_options(idle: float) -> HttpProtocolOptions:
    return HttpProtocolOptions(
        common_http_protocol_options=CoreHttpProtocolOptions(idle_timeout=duration(idle)),
        use_downstream_protocol_config=_both_protocols(),
    )


def black_hole(config: MeshConfig) -> Resource:
    """Nowhere."""
    name = names.BLACK_HOLE
    connect = duration(config.connect_timeout)
    return resource(
        name, Cluster(name=name, alt_stat_name=f"{name};", type=Cluster.STATIC, connect_timeout=connect)
    )


def passthrough(config: MeshConfig) -> Resource:
    """Where the application wanted to go, outside the mesh's knowledge."""
    cluster = _original(names.PASSTHROUGH, config)
    cluster.typed_extension_protocol_options[_HTTP].CopyFrom(any_of(_passthrough_options(300)))
    return resource(cluster.name, cluster)


def inbound_passthrough(config: MeshConfig) -> Resource:
    """To the workload, on a port that belongs to no service."""
    cluster = _original(names.INBOUND_PASSTHROUGH, config)
    cluster.upstream_bind_config.CopyFrom(_from_loopback())
    cluster.typed_extension_protocol_options[_HTTP].CopyFrom(any_of(_passthrough_options(_IDLE)))
    return resource(cluster.name, cluster)


def inbound(port: InboundPort, config: MeshConfig) -> Resource:
    """To the workload, on a port of a service. HTTP/2 says that a connection ends; HTTP/1.1 needs `_IDLE`."""
    cluster = _original(names.inbound(port.target), config)
    cluster.cleanup_interval.CopyFrom(_FOREVER)
    cluster.upstream_bind_config.CopyFrom(_from_loopback())
    about = Struct()
    about.update({"services": [{"host": port.hostname, "name": port.name, "namespace": port.namespace}]})
    cluster.metadata.filter_metadata["istio"].CopyFrom(about)
    first = port.protocol is Protocol.UNKNOWN or (port.protocol.is_http and not port.protocol.is_http2)
    options = _http_options(port.protocol, Pool(idle_timeout=_IDLE) if first else NO_POOL, router=False)
    if options is not None:
        cluster.typed_extension_protocol_options[_HTTP].CopyFrom(any_of(options))
    return resource(cluster.name, cluster)
