"""Outbound listeners of sidecars (LDS): `virtualOutbound`, and one for each address and port that is called.

    HTTP                   0.0.0.0_<port>, shared by all services; everything else there passes through
    TCP, TLS, not known    <virtual address>_<port>; headless: chains of 0.0.0.0_<port> for pods' addresses

Source: Istio, outbound listeners.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from linnet.envoy.messages import (
    AdditionalAddress,
    Duration,
    FilterChain,
    FilterChainMatch,
    Listener,
    NetworkFilter,
    TrafficDirection,
)
from linnet.model.proxy import Outbound
from linnet.model.resource import Resource
from linnet.model.route import ConnectionRoute, Destination, VirtualService
from linnet.model.service import Backends, Port, Protocol, Resolution, Service
from linnet.model.snapshot import MeshConfig
from linnet.translate import filters, names
from linnet.translate.routes import MESH, applies
from linnet.translate.targets import Target, Targets
from linnet.translate.wire import networks, resource, socket_address, uint32

_PLAIN_HTTP = ("http/1.1", "h2c")
_ANY = "0.0.0.0"


class Chain(Struct, frozen=True, cache_hash=True):
    """Connections that go to clusters by weight. `subnets` and `sni` empty: any."""

    clusters: tuple[tuple[str, int], ...]
    stat_prefix: str
    subnets: tuple[str, ...] = ()
    sni: tuple[str, ...] = ()
    idle_timeout: float = 0


class Plan(Struct, frozen=True, cache_hash=True):
    """A listener before it is written out. `route` is the route table for requests, empty for none;

    `request_subnets` are networks whose requests are looked at as well, though chains claim them.
    """

    address: str
    port: int
    more_addresses: tuple[str, ...] = ()
    route: str = ""
    chains: tuple[Chain, ...] = ()
    request_subnets: tuple[str, ...] = ()
    passthrough: bool = True  # what no chain takes passes through; else it is the last chain's


@dataclass(slots=True)
class _Draft:
    """A listener while services claim parts of it; the first claim of a part wins (law L5)."""

    address: str
    port: int
    more: tuple[str, ...] = ()
    route: str = ""
    chains: list[Chain] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    claimed: set[tuple[str, str]] = field(default_factory=set)  # (subnet or "", SNI or "")

    def claim(self, chain: Chain) -> bool:
        """Add a chain, without what others have claimed already; False if nothing is left of it."""
        pairs = [(net, sni) for net in chain.subnets or ("",) for sni in chain.sni or ("",)]
        free = [pair for pair in pairs if pair not in self.claimed]
        subnets = tuple(dict.fromkeys(net for net, _ in free if net))
        server_names = tuple(dict.fromkeys(sni for _, sni in free if sni))
        if not free or (len(free) != len(pairs) and chain.subnets and chain.sni):
            return False
        self.claimed.update(free)
        held = Chain(chain.clusters, chain.stat_prefix, subnets, server_names, chain.idle_timeout)
        self.chains.append(held)
        return True

    def plan(self) -> Plan:
        return Plan(self.address, self.port, self.more, self.route, tuple(self.chains), tuple(self.requests))


class Planner:
    """Plans the listeners of one outbound view, service by service in the order of claims."""

    def __init__(
        self,
        outbound: Outbound,
        targets: Targets,
        rules: Sequence[VirtualService],
        backends: dict[str, Backends],
    ) -> None:
        self._outbound, self._targets, self._backends = outbound, targets, backends
        self._rules: dict[str, VirtualService] = {}
        for one in rules:
            if MESH in one.gateways and (one.tcp or one.tls) and one.visible_from(outbound.namespace):
                for host in one.hosts:
                    self._rules.setdefault(host, one)
        self._drafts: dict[tuple[str, int], _Draft] = {}
        self._taken: set[tuple[str, int]] = set()  # addresses and ports that have a listener of their own
        self.sniffed: list[tuple[Service, Port]] = []  # services with a route table of their own

    def add(self, service: Service) -> None:
        """Let a service claim its addresses and ports."""
        for port in service.ports:
            if port.protocol is Protocol.UDP or port.number in names.RESERVED_PORTS:
                continue
            if port.protocol.is_http:
                self._draft(_ANY, port.number).route = str(port.number)
            else:
                self._connections(service, port)

    def plans(self) -> list[Plan]:
        """All listeners that were claimed."""
        return [self._drafts[key].plan() for key in sorted(self._drafts)]

    def _draft(self, address: str, port: int) -> _Draft:
        return self._drafts.setdefault((address, port), _Draft(address, port))

    def _connections(self, service: Service, port: Port) -> None:
        chains = self._chains(service, port)
        given = [address for address in service.addresses if "/" not in address]
        plain = [address for address in given if (address, port.number) not in self._taken]
        self._taken.update((address, port.number) for address in plain)
        ranges = tuple(address for address in service.addresses if "/" in address)
        sniffs = port.protocol is Protocol.UNKNOWN
        if plain:
            draft = self._draft(plain[0], port.number)
            draft.more = tuple(plain[1:])
            if sniffs:
                draft.route = f"{service.hostname}:{port.number}"
                self.sniffed.append((service, port))
            for chain in chains:
                draft.claim(chain)
        subnets = ranges
        headless = service.resolution is Resolution.PASSTHROUGH and not given and not ranges
        if headless:
            addresses = self._backends.get(service.hostname, Backends()).addresses
            subnets = tuple(f"{one}/{128 if ':' in one else 32}" for one in addresses)
        if not given and (subnets or not (service.kubernetes and headless)):
            self._wildcard(service, port, chains, subnets, sniffs=sniffs)

    def _wildcard(
        self, service: Service, port: Port, chains: list[Chain], subnets: tuple[str, ...], *, sniffs: bool
    ) -> None:
        """Chains of the listener for any address: by network, or by server name, or for all the rest."""
        draft = self._draft(_ANY, port.number)
        if sniffs:
            draft.route = str(port.number)
        for chain in chains:
            server_names = chain.sni
            if port.protocol.is_tls and not subnets and not server_names:
                server_names = (service.hostname,)
            narrowed = Chain(
                chain.clusters,
                chain.stat_prefix,
                chain.subnets or subnets,
                server_names,
                chain.idle_timeout,
            )
            if draft.claim(narrowed) and sniffs:
                draft.requests += draft.chains[-1].subnets

    def _chains(self, service: Service, port: Port) -> list[Chain]:
        """Rules of VirtualServices, then all the rest to the service itself."""
        held = self._rules.get(service.hostname)
        chains: list[Chain] = []
        if held is not None:
            for rule in held.tls if port.protocol.is_tls else held.tcp:
                chains += self._ruled(held, rule, port.number)
        if not any(not chain.sni and not chain.subnets for chain in chains):
            target = self._targets.of(Destination(service.hostname, port=port.number), port.number)
            cluster = names.outbound(port.number, service.hostname)
            chains.append(Chain(((cluster, 1),), cluster, idle_timeout=target.tcp_idle_timeout))
        return chains

    def _ruled(self, held: VirtualService, rule: ConnectionRoute, port: int) -> list[Chain]:
        targets = [(self._targets.of(one.destination, port), one.weight) for one in rule.destinations]
        clusters = weighted(targets)
        prefix = clusters[0][0] if len(clusters) == 1 else f"{held.name}.{held.namespace}"
        idle = targets[0][0].tcp_idle_timeout if len(clusters) == 1 else 0
        return [
            Chain(clusters, prefix, match.subnets, match.sni, idle)
            for match in rule.matches
            if applies(match.source, MESH, port, self._outbound)
        ]


def weighted(targets: Sequence[tuple[Target, int]]) -> tuple[tuple[str, int], ...]:
    """Clusters with their weights; without any weight the first one takes all."""
    held = [(target.cluster, weight) for target, weight in targets if weight > 0]
    return tuple(held) or ((targets[0][0].cluster, 1),)


def _http_chain(held: Plan, config: MeshConfig, subnets: tuple[str, ...]) -> FilterChain:
    name = names.listener(held.address, held.port)
    match = FilterChainMatch(
        transport_protocol="raw_buffer",
        application_protocols=_PLAIN_HTTP,
        prefix_ranges=networks(subnets),
    )
    return FilterChain(
        filter_chain_match=match,
        filters=[filters.outbound_http(f"outbound_{name}", held.route, config)],
    )


def _tcp(chain: Chain, config: MeshConfig) -> list[NetworkFilter]:
    idle = chain.idle_timeout
    return [filters.tcp_proxy(chain.stat_prefix, chain.clusters, config, idle_timeout=idle, elsewhere=True)]


def _elsewhere(config: MeshConfig) -> str:
    return names.PASSTHROUGH if config.allow_any else names.BLACK_HOLE


def service_listener(held: Plan, config: MeshConfig) -> Resource:
    """A listener that services have claimed, written out."""
    name = names.listener(held.address, held.port)
    chains: list[FilterChain] = []
    rest = FilterChain(name="PassthroughFilterChain", filters=[filters.to(_elsewhere(config), config)])
    for chain in held.chains:
        if not chain.sni and not chain.subnets:
            rest = FilterChain(filters=_tcp(chain, config))
            continue
        match = FilterChainMatch(server_names=chain.sni, prefix_ranges=networks(chain.subnets))
        chains.append(FilterChain(filter_chain_match=match, filters=_tcp(chain, config)))
    if held.route:
        chains.append(_http_chain(held, config, ()))
        if held.request_subnets:
            chains.append(_http_chain(held, config, held.request_subnets))
    inspectors = []
    if any(chain.sni for chain in held.chains):
        inspectors.append(filters.tls_inspector())
    if held.route:
        inspectors.append(filters.http_inspector())
    listener = Listener(
        name=name,
        address=socket_address(held.address, held.port),
        additional_addresses=[
            AdditionalAddress(address=socket_address(one, held.port)) for one in held.more_addresses
        ],
        traffic_direction=TrafficDirection.OUTBOUND,
        continue_on_listener_filters_timeout=True,
        listener_filters_timeout=Duration(),
        listener_filters=inspectors,
        filter_chains=chains,
        default_filter_chain=rest,
    )
    listener.bind_to_port.value = False
    return resource(name, listener)


def virtual_outbound(config: MeshConfig) -> Resource:
    """The listener that all redirected calls reach first; what no other listener takes passes through."""
    loop = FilterChainMatch(destination_port=uint32(names.OUTBOUND_PORT))
    name = names.VIRTUAL_OUTBOUND
    listener = Listener(
        name=name,
        address=socket_address(_ANY, names.OUTBOUND_PORT),
        traffic_direction=TrafficDirection.OUTBOUND,
        max_connections_to_accept_per_socket_event=uint32(1),
        filter_chains=[
            FilterChain(
                name=f"{name}-blackhole",
                filter_chain_match=loop,
                filters=[filters.to(names.BLACK_HOLE, config)],
            ),
            FilterChain(name=f"{name}-catchall-tcp", filters=[filters.to(_elsewhere(config), config)]),
        ],
    )
    listener.use_original_dst.value = True
    return resource(name, listener)
