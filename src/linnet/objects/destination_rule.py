"""DestinationRule: how a service is called.

Source: Istio's CustomResourceDefinitions, version v1; every field that they know is here.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from linnet.objects.parts import Duration, Part, UInt32, UInt64
from linnet.objects.virtual_service import PortNumber

SimpleBalancing = Literal[
    "UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"
]


class Http2KeepAlive(Part, frozen=True):
    interval: Duration | None = None
    timeout: Duration | None = None


class ConnectionPoolHttp(Part, frozen=True):
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = None
    http1_max_pending_requests: int | None = None
    http2_keep_alive: Http2KeepAlive | None = None
    http2_max_requests: int | None = None
    idle_timeout: Duration | None = None
    max_concurrent_streams: int | None = None
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    use_client_protocol: bool | None = None


class TcpKeepalive(Part, frozen=True):
    interval: Duration | None = None
    probes: UInt32 | None = None
    time: Duration | None = None


class ConnectionPoolTcp(Part, frozen=True):
    connect_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    max_connection_duration: Duration | None = None
    max_connections: int | None = None
    tcp_keepalive: TcpKeepalive | None = None


class ConnectionPool(Part, frozen=True):
    http: ConnectionPoolHttp | None = None
    tcp: ConnectionPoolTcp | None = None


class BackendUtilization(Part, frozen=True):
    error_utilization_penalty_percent: UInt32 | None = None
    metric_names_for_computing_utilization: tuple[str, ...] = ()
    weight_expiration_period: str | None = None
    weight_stabilization_period: str | None = None
    weight_update_period: str | None = None


class CookieAttribute(Part, frozen=True):
    name: str
    value: str | None = None


class HttpCookie(Part, frozen=True):
    name: str
    attributes: tuple[CookieAttribute, ...] = ()
    path: str | None = None
    ttl: str | None = None


class Maglev(Part, frozen=True):
    table_size: UInt64 | None = None


class RingHash(Part, frozen=True):
    minimum_ring_size: UInt64 | None = None


class ConsistentHash(Part, frozen=True):
    http_cookie: HttpCookie | None = None
    http_header_name: str | None = None
    http_query_parameter_name: str | None = None
    maglev: Maglev | None = None
    minimum_ring_size: UInt64 | None = None
    ring_hash: RingHash | None = None
    use_source_ip: bool | None = None


class Distribute(Part, frozen=True):
    from_: str | None = field(name="from", default=None)
    to: dict[str, UInt32] | None = None


class Failover(Part, frozen=True):
    from_: str | None = field(name="from", default=None)
    to: str | None = None


class LocalityLbSetting(Part, frozen=True):
    distribute: tuple[Distribute, ...] = ()
    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()


class Warmup(Part, frozen=True):
    duration: Duration
    aggression: float | None = None
    minimum_percent: float | None = None


class ZoneAwareLbSetting(Part, frozen=True):
    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: Annotated[int, Meta(ge=1, le=4294967295)] | None = None


class LoadBalancer(Part, frozen=True):
    backend_utilization: BackendUtilization | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLbSetting | None = None
    simple: SimpleBalancing | None = None
    warmup: Warmup | None = None
    warmup_duration_secs: Duration | None = None
    zone_aware_lb_setting: ZoneAwareLbSetting | None = None


class OutlierDetection(Part, frozen=True):
    base_ejection_time: Duration | None = None
    consecutive5xx_errors: UInt32 | None = None
    consecutive_errors: int | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_local_origin_failures: UInt32 | None = None
    interval: Duration | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int | None = None
    outlier_detection_http_error_codes: tuple[Annotated[int, Meta(ge=100, le=599)], ...] = ()
    split_external_local_origin_errors: bool | None = None


class ClientTls(Part, frozen=True):
    ca_certificates: str | None = None
    ca_crl: str | None = None
    client_certificate: str | None = None
    credential_name: str | None = None
    insecure_skip_verify: bool | None = None
    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] | None = None
    private_key: str | None = None
    sni: str | None = None
    subject_alt_names: tuple[str, ...] = ()


class PortPolicy(Part, frozen=True):
    connection_pool: ConnectionPool | None = None
    load_balancer: LoadBalancer | None = None
    outlier_detection: OutlierDetection | None = None
    port: PortNumber | None = None
    tls: ClientTls | None = None


class ProxyProtocol(Part, frozen=True):
    version: Literal["V1", "V2"] | None = None


class RetryBudget(Part, frozen=True):
    budget_interval: Duration | None = None
    min_retry_concurrency: UInt32 | None = None
    percent: float | None = None


class TunnelSettings(Part, frozen=True):
    target_host: str
    target_port: UInt32
    protocol: str | None = None


class TrafficPolicy(Part, frozen=True):
    connection_pool: ConnectionPool | None = None
    load_balancer: LoadBalancer | None = None
    outlier_detection: OutlierDetection | None = None
    port_level_settings: Annotated[tuple[PortPolicy, ...], Meta(max_length=4096)] = ()
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None
    tls: ClientTls | None = None
    tunnel: TunnelSettings | None = None


class Subset(Part, frozen=True):
    name: str
    labels: dict[str, str] | None = None
    traffic_policy: TrafficPolicy | None = None


class WorkloadSelector(Part, frozen=True):
    match_labels: dict[str, Annotated[str, Meta(max_length=63)]] | None = None


class DestinationRuleSpec(Part, frozen=True):
    host: str
    export_to: tuple[str, ...] = ()
    subsets: tuple[Subset, ...] = ()
    traffic_policy: TrafficPolicy | None = None
    workload_selector: WorkloadSelector | None = None
