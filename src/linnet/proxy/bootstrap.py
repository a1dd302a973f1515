"""Envoy's first configuration from an agent's settings (pure): what it cannot learn later without a restart.

    xds-grpc   a cluster whose endpoints come from a file in a watched directory: the agent moves Envoy to
               another control plane by renaming a file; the certificate must name the host that the file says
    sds-grpc   the agent's unix socket: key, certificate and roots
    15021      readiness (asks the agent), 15090 Envoy's metrics; both on the pod's address: a listener on all
               addresses would catch the application's own connections to those ports elsewhere

Source: Envoy, `envoy.config.bootstrap.v3.Bootstrap`; Istio, names of clusters, stats tags, inclusion lists.
"""

from collections.abc import Mapping
from typing import Any

from linnet.proxy.settings import SDS_SOCKET, Settings

Json = dict[str, Any]
BOOTSTRAP_FILE = "/etc/istio/proxy/envoy.json"
ENDPOINTS_DIRECTORY = "/etc/istio/proxy/xds"
ENDPOINTS_FILE = f"{ENDPOINTS_DIRECTORY}/xds.json"

_SO_MARK = 36  # Linux, SOL_SOCKET
_NO_HOSTNAME = (
    "no-hostname-in-file.invalid"  # no certificate carries it: endpoints without a name are refused
)
_STAT_TAGS = {
    "cluster_name": r"^cluster(\.(.+);)",
    "http_conn_manager_prefix": r"^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)",
    "tcp_prefix": r"^tcp\.((.*?)\.)\w+?$",
    "response_code": r"_rq(_(\d{3}))$",
    "response_code_class": r"_rq(_(\dxx))$",
    "listener_address": r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    "authz_enforce_result": r"rbac(\.(allowed|denied))",
}
_PREFIXES = (
    "cluster_manager",
    "control_plane",
    "listener_manager",
    "server",
    "cluster.xds-grpc",
    "istio",
    "wasm",
)
_SUFFIXES = (
    "downstream_cx_active",  # the drain waits for it
    "downstream_cx_total",  # and for clients that come and go between its looks
    "ssl.handshake",
    "ssl.fail_verify_san",
    "ssl.fail_verify_error",
    "rbac.allowed",
    "rbac.denied",
    "shadow_allowed",
    "shadow_denied",
)
# who answers requests counts them: a sidecar those of its application, a gateway those from outside
_ANSWERED = r"http\.{}_[^;]*;\.downstream_rq_([1-5]xx|[rt]x_reset|time)"


def bootstrap(settings: Settings) -> Json:
    """The bootstrap as JSON-able data; every path is one that Envoy's container sees."""
    return {
        "node": {
            "id": settings.node_id,
            "cluster": settings.cluster,
            "metadata": dict(settings.metadata),
        },
        "admin": {"address": _address("127.0.0.1", settings.admin_port)},
        "dynamic_resources": _dynamic_resources(),
        "static_resources": {
            "clusters": [
                _xds_cluster(),
                _sds_cluster(),
                _local_cluster("prometheus_stats", settings.admin_port),
                _local_cluster("agent", settings.status_port),
            ],
            "listeners": [
                _forwarding_listener(
                    "agent", settings.ip, settings.readiness_port, "/healthz/ready", "agent"
                ),
                _forwarding_listener(
                    "stats", settings.ip, settings.prometheus_port, "/stats/prometheus", "prometheus_stats"
                ),
            ],
        },
        "cluster_manager": _marked(settings.mark) if settings.mark else {},
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}},
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": _connection_limit(),
        "stats_config": _stats(settings),
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
    }


def arguments(settings: Settings) -> tuple[str, ...]:
    """Envoy's command line."""
    argv = [
        settings.binary,
        "-c",
        BOOTSTRAP_FILE,
        "--drain-time-s",
        str(settings.drain_seconds),
        "--drain-strategy",
        "immediate",
        "--local-address-ip-version",
        "v4",
        "--disable-hot-restart",
        "--allow-unknown-static-fields",
        "-l",
        settings.log_level,
    ]
    if settings.component_log_level:
        argv += ["--component-log-level", settings.component_log_level]
    if settings.concurrency:
        argv += ["--concurrency", str(settings.concurrency)]
    return tuple(argv)


def endpoints(host: str, addresses: tuple[str, ...], port: int) -> Json:
    """The endpoints file: where the control plane is, and the name that its certificate must carry."""
    hosts = [{"endpoint": {"hostname": host, "address": _address(address, port)}} for address in addresses]
    assignment = {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "xds-grpc",
        "endpoints": [{"lb_endpoints": hosts}],
    }
    return {"resources": [assignment] if hosts else []}


def sds_config() -> Json:
    """The config source of every secret that the agent serves."""
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
        },
    }


def _typed(name: str, **fields: object) -> Json:
    return {"@type": f"type.googleapis.com/{name}", **fields}


def _address(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


def _dynamic_resources() -> Json:
    over_ads = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    # A short back-off: only an answered stream resets it, and a proxy must be back within a second.
    retry = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
    return {
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc", "retry_policy": retry}}],
        },
        "cds_config": over_ads,
        "lds_config": over_ads,
    }


def _http2(**common: object) -> Json:
    keepalive = {"connection_keepalive": {"interval": "5s", "timeout": "2s"}}
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    explicit = {"http2_protocol_options": keepalive if common else {}}
    return {name: _typed(name, explicit_http_config=explicit, **common)}


def _xds_cluster() -> Json:
    secret = {"name": "default", "sds_config": sds_config()}
    roots = {"name": "ROOTCA", "sds_config": sds_config()}
    unnamed = {"san_type": "DNS", "matcher": {"exact": _NO_HOSTNAME}}
    tls = _typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        auto_host_sni=True,
        auto_sni_san_validation=True,
        common_tls_context={
            "alpn_protocols": ["h2"],
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_2",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "tls_certificate_sds_secret_configs": [secret],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [unnamed]},
                "validation_context_sds_secret_config": roots,
            },
        },
    )
    file = {"path": ENDPOINTS_FILE, "watched_directory": {"path": ENDPOINTS_DIRECTORY}}
    return {
        "name": "xds-grpc",
        "type": "EDS",
        "connect_timeout": "1s",  # also ends a TLS handshake that hangs
        "eds_cluster_config": {"eds_config": {"resource_api_version": "V3", "path_config_source": file}},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        # bounds how long a control plane that will not let go can hold a stream
        "typed_extension_protocol_options": _http2(
            common_http_protocol_options={"max_stream_duration": "600s"}
        ),
        "circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_requests": 100000}]},
    }


def _sds_cluster() -> Json:
    endpoint = {"endpoint": {"address": {"pipe": {"path": SDS_SOCKET}}}}
    return {
        "name": "sds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": _http2(),
        "load_assignment": {"cluster_name": "sds-grpc", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _local_cluster(name: str, port: int) -> Json:
    endpoint = {"endpoint": {"address": _address("127.0.0.1", port)}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _forwarding_listener(prefix: str, address: str, port: int, path: str, cluster: str) -> Json:
    """A listener that forwards one path to a local cluster and knows nothing else."""
    route = {"match": {"prefix": path}, "route": {"cluster": cluster}}
    manager = _typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=prefix,
        route_config={"virtual_hosts": [{"name": "backend", "domains": ["*"], "routes": [route]}]},
        http_filters=[
            {
                "name": "envoy.filters.http.router",
                "typed_config": _typed("envoy.extensions.filters.http.router.v3.Router"),
            }
        ],
    )
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": f"{address}_{port}",
        "address": _address(address, port),
        "ignore_global_conn_limit": True,
        "bypass_overload_manager": True,
        "filter_chains": [chain],
    }


def _marked(mark: int) -> Json:
    """All upstream sockets of Envoy carry a mark, by which the redirect knows them."""
    option = {
        "description": "SO_MARK",
        "level": 1,
        "name": _SO_MARK,
        "int_value": mark,
        "state": "STATE_PREBIND",
    }
    source = {"source_address": {"address": "0.0.0.0", "port_value": 0}, "socket_options": [option]}
    return {"upstream_bind_config": source}


def _connection_limit() -> Json:
    limit = _typed(
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=2147483647,
    )
    name = "envoy.resource_monitors.global_downstream_max_connections"
    return {"resource_monitors": [{"name": name, "typed_config": limit}]}


def _stats(settings: Settings) -> Json:
    """Only what is needed is kept: a statistic for everything costs a third of Envoy's memory per cluster."""
    answered = _ANSWERED.format("outbound" if settings.role == "router" else "inbound")
    patterns: list[Mapping[str, Any]] = [
        *({"prefix": prefix} for prefix in (*_PREFIXES, *settings.stat_prefixes)),
        *({"suffix": suffix} for suffix in (*_SUFFIXES, *settings.stat_suffixes)),
        *(
            {"safe_regex": {"regex": regex}}
            for regex in (r"vhost\..*\.route\..*", answered, *settings.stat_regexes)
        ),
    ]
    return {
        "use_all_default_tags": False,
        "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in _STAT_TAGS.items()],
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
    }
