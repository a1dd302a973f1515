"""`virtualInbound`: everything that is redirected to a workload arrives here.

Source: Istio, inbound filter chains by mTLS mode. STRICT refuses plaintext by a chain of its own.
"""

from collections.abc import Iterator, Sequence

from linnet.envoy.messages import (
    Decorator,
    Duration,
    FilterChain,
    FilterChainMatch,
    Int32Range,
    Listener,
    ListenerFilterChainMatchPredicate,
    NetworkFilter,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    RouteRetryPolicy,
    TrafficDirection,
    TransportSocket,
    VirtualHost,
)
from linnet.model.policy import PeerMode
from linnet.model.proxy import Inbound, InboundPort
from linnet.model.resource import Resource
from linnet.model.service import Protocol
from linnet.model.snapshot import MeshConfig
from linnet.translate import authorization, filters, names
from linnet.translate.tls import mesh_server
from linnet.translate.tokens import Checks
from linnet.translate.wire import resource, socket_address, uint32

_HTTP_ALPN = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
_TCP_ALPN = ("istio-peer-exchange", "istio")
_MESH_ALPN = ("istio", "istio-peer-exchange", *_HTTP_ALPN)
_PLAIN_HTTP = ("http/1.1", "h2c")
_LARGEST_PORT = 65_535


def routes(name: str, host: str, cluster: str, operation: str, *, retry: bool) -> RouteConfiguration:
    """All requests to one cluster."""
    action = RouteAction(cluster=cluster, timeout=Duration())
    action.max_stream_duration.max_stream_duration.SetInParent()
    action.max_stream_duration.grpc_timeout_header_max.SetInParent()
    if retry:
        policy = RouteRetryPolicy(retry_on="reset-before-request", num_retries=uint32(2))
        action.retry_policy.CopyFrom(policy)
    route = Route(
        name="default",
        match=RouteMatch(prefix="/"),
        decorator=Decorator(operation=operation),
        route=action,
    )
    table = RouteConfiguration(
        name=name, virtual_hosts=[VirtualHost(name=host, domains=["*"], routes=[route])]
    )
    table.validate_clusters.value = False
    return table


class _Port:
    """What a port of the workload does with requests and with connections."""

    def __init__(
        self,
        port: InboundPort | None,
        number: int,
        mode: PeerMode,
        checks: Checks,
        config: MeshConfig,
    ) -> None:
        self.number, self.mode = number, mode
        self.protocol = port.protocol if port is not None else Protocol.UNKNOWN
        cluster = names.inbound(number) if port is not None else names.INBOUND_PASSTHROUGH
        prefix = f"inbound_0.0.0.0_{number}" if port is not None else cluster
        operation = f"{port.hostname}:{port.service_port}/*" if port is not None else ":0/*"
        host = f"inbound|http|{port.service_port if port is not None else 0}"
        retry = port is not None and not self.protocol.is_http2
        table = routes(cluster, host, cluster, operation, retry=retry)
        self.http = [filters.inbound_http(prefix, table, checks, config)]
        self.tcp = [*authorization.network_filters(checks.policies), filters.to(cluster, config)]
        if port is not None or number:
            self.names = (f"0.0.0.0_{number}",) * 2
        else:
            self.names = (f"{names.VIRTUAL_INBOUND}-catchall-http", names.VIRTUAL_INBOUND)


def _chain(
    name: str,
    port: int,
    transport: str,
    held: Sequence[NetworkFilter],
    socket: TransportSocket | None = None,
    alpn: Sequence[str] = (),
) -> FilterChain:
    match = FilterChainMatch(transport_protocol=transport, application_protocols=alpn)
    if port:
        match.destination_port.CopyFrom(uint32(port))
    return FilterChain(name=name, filter_chain_match=match, filters=held, transport_socket=socket)


def _chains(port: _Port, socket: TransportSocket, refused: NetworkFilter) -> Iterator[FilterChain]:
    """The chains of one port, by its mTLS mode and by what it speaks."""
    http_name, tcp_name = port.names
    number = port.number
    http, unknown = port.protocol.is_http, port.protocol is Protocol.UNKNOWN
    match port.mode:
        case PeerMode.STRICT:
            if http:
                yield _chain(http_name, number, "tls", port.http, socket)
            else:
                if unknown:
                    yield _chain(http_name, number, "tls", port.http, socket, _HTTP_ALPN)
                yield _chain(tcp_name, number, "tls", port.tcp, socket)
            yield _chain(f"{tcp_name}-plaintext-refused", number, "raw_buffer", [refused])
        case PeerMode.PERMISSIVE:
            if http:
                yield _chain(http_name, number, "tls", port.http, socket, _MESH_ALPN)
                yield _chain(http_name, number, "raw_buffer", port.http)
                return
            if unknown:
                yield _chain(http_name, number, "tls", port.http, socket, _HTTP_ALPN)
                yield _chain(http_name, number, "raw_buffer", port.http, None, _PLAIN_HTTP)
            alpn = _TCP_ALPN if unknown else _MESH_ALPN
            yield _chain(tcp_name, number, "tls", port.tcp, socket, alpn)
            yield _chain(tcp_name, number, "raw_buffer", port.tcp)
            yield _chain(tcp_name, number, "tls", port.tcp)
        case PeerMode.DISABLE:
            if http:
                yield _chain(http_name, number, "raw_buffer", port.http)
                return
            if unknown:
                yield _chain(http_name, number, "raw_buffer", port.http, None, _PLAIN_HTTP)
            yield _chain(tcp_name, number, "raw_buffer", port.tcp)
            yield _chain(tcp_name, number, "tls", port.tcp)


def virtual_inbound(held: Inbound, checks: Checks, config: MeshConfig) -> Resource:
    """The listener for a workload's own traffic."""
    socket = mesh_server(config)
    black_hole = filters.to(names.BLACK_HOLE, config)
    ports = [
        _Port(None, 0, held.mode, checks, config),
        *(_Port(None, number, mode, checks, config) for number, mode in held.modes),
        *(_Port(port, port.target, port.mode, checks, config) for port in held.ports),
    ]
    loop = FilterChainMatch(destination_port=uint32(names.INBOUND_PORT))
    chains = [
        FilterChain(name=f"{names.VIRTUAL_INBOUND}-blackhole", filter_chain_match=loop, filters=[black_hole]),
        *(chain for port in ports for chain in _chains(port, socket, black_hole)),
    ]
    listener = Listener(
        name=names.VIRTUAL_INBOUND,
        address=socket_address("0.0.0.0", names.INBOUND_PORT),
        traffic_direction=TrafficDirection.INBOUND,
        max_connections_to_accept_per_socket_event=uint32(1),
        continue_on_listener_filters_timeout=True,
        listener_filters_timeout=Duration(),
        listener_filters=[filters.original_dst(), filters.tls_inspector(), filters.http_inspector()],
        filter_chains=chains,
    )
    told = [port.target for port in held.ports if port.protocol is not Protocol.UNKNOWN]
    if told:
        listener.listener_filters[2].filter_disabled.CopyFrom(_on_ports(told))
    return resource(listener.name, listener)


def _on_ports(ports: Sequence[int]) -> ListenerFilterChainMatchPredicate:
    """For connections to some ports."""
    rules = [
        ListenerFilterChainMatchPredicate(
            destination_port_range=Int32Range(start=port, end=min(port + 1, _LARGEST_PORT + 1))
        )
        for port in ports
    ]
    if len(rules) == 1:
        return rules[0]
    return ListenerFilterChainMatchPredicate(or_match=ListenerFilterChainMatchPredicate.MatchSet(rules=rules))
