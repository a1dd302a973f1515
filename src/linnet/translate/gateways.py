"""Listeners and route tables of gateway proxies.

Servers of all gateways that a proxy serves are merged by port: plaintext HTTP into one route table, TLS into
one chain for each server. The first claim of a port's protocol, of a server name, of a domain wins (law L5).
Source: Istio, Gateway.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from linnet.envoy.messages import (
    Duration,
    FilterChain,
    FilterChainMatch,
    Listener,
    NetworkFilter,
    TrafficDirection,
)
from linnet.ingest.names import host_matches
from linnet.model.gateway import Gateway, Server, ServerProtocol, ServerTls, ServerTlsMode
from linnet.model.proxy import Outbound, Router
from linnet.model.resource import Resource
from linnet.model.route import HttpRoute, VirtualService
from linnet.model.snapshot import MeshConfig
from linnet.translate import authorization, filters, names
from linnet.translate.listeners import Chain, weighted
from linnet.translate.routes import Host, applies, origin, rules_for, targets_of
from linnet.translate.targets import Targets
from linnet.translate.tls import gateway_server
from linnet.translate.tokens import Checks
from linnet.translate.wire import networks, resource, socket_address, uint32


class Door(Struct, frozen=True, cache_hash=True):
    """One filter chain: for requests if `route` is a table's name, else for connections."""

    sni: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    tls: ServerTls | None = None
    route: str = ""
    chain: Chain | None = None


class Front(Struct, frozen=True, cache_hash=True):
    """A listener before it is written out."""

    bind: str
    port: int
    doors: tuple[Door, ...]

    @property
    def name(self) -> str:
        """``<bind>_<port>``."""
        return names.listener(self.bind, self.port)


@dataclass(slots=True)
class _Draft:
    """A port while servers claim parts of it."""

    doors: list[Door] = field(default_factory=list)
    plain: list[tuple[Gateway, Server]] = field(default_factory=list)  # share one route table
    protocol: str = ""  # plain HTTP, plain TCP, or TLS: the first one wins
    names: set[tuple[str, str]] = field(default_factory=set)  # claimed (server name, network)


class Planner:
    """Plans listeners and route tables for one view of gateway proxies.

    `usable` are the credentials, by name, that can be served: a server that needs another one is left out,
    since its listener would wait for it, and everybody else with it.
    """

    def __init__(
        self,
        router: Router,
        outbound: Outbound,
        rules: Sequence[VirtualService],
        targets: Targets,
        usable: frozenset[str],
    ) -> None:
        self._router, self._outbound, self._targets, self._usable = router, outbound, targets, usable
        self._rules = [one for one in rules if one.visible_from(outbound.namespace)]
        self._ports = dict(router.targets)
        self._drafts: dict[tuple[str, int], _Draft] = {}
        self._tables: dict[str, list[tuple[Gateway, Server]]] = {}
        for gateway in router.gateways:
            for server in gateway.servers:
                self._add(gateway, server)

    def fronts(self) -> list[Front]:
        """All listeners; one without a chain is none."""
        return [
            Front(bind, port, tuple(self._drafts[bind, port].doors))
            for bind, port in sorted(self._drafts)
            if self._drafts[bind, port].doors
        ]

    def tables(self) -> Iterator[tuple[str, tuple[Host, ...]]]:
        """Route tables by name."""
        for name, servers in sorted(self._tables.items()):
            yield name, tuple(_hosts(servers, self._rules, self._outbound, self._targets))

    def _add(self, gateway: Gateway, server: Server) -> None:
        port = self._ports.get(server.port, server.port)
        bind = server.bind or "0.0.0.0"
        if port in names.RESERVED_PORTS:
            return
        draft = self._drafts.setdefault((bind, port), _Draft())
        secure = server.protocol in {ServerProtocol.HTTPS, ServerProtocol.TLS}
        kind = "TLS" if secure else server.protocol.value
        if draft.protocol not in {"", kind}:
            return
        suffix = f".{server.bind}" if server.bind else ""
        if server.protocol is ServerProtocol.HTTP:
            name = f"http.{port}{suffix}"
            if not draft.plain:
                draft.doors.append(Door(route=name))
            draft.plain.append((gateway, server))
            self._tables.setdefault(name, []).append((gateway, server))
        elif server.tls is not None and server.tls.mode is ServerTlsMode.PASSTHROUGH:
            self._connections(draft, gateway, server, passthrough=True)
        elif server.tls is not None and not self._usable.issuperset(server.tls.secrets):
            return
        elif server.protocol is ServerProtocol.HTTPS:
            name = f"https.{server.port}.{server.port_name}.{gateway.name}.{gateway.namespace}{suffix}"
            sni = _server_names(server)
            if name not in self._tables and self._claim(draft, sni, ()):
                draft.doors.append(Door(sni=sni, tls=server.tls, route=name))
                self._tables[name] = [(gateway, server)]
        else:
            self._connections(draft, gateway, server, passthrough=False)
        if draft.doors:
            draft.protocol = kind

    def _claim(self, draft: _Draft, sni: tuple[str, ...], subnets: tuple[str, ...]) -> bool:
        """Whether a chain's match is free; it is all or nothing, a server is not cut into pieces."""
        wanted = {(name, net) for name in sni or ("",) for net in subnets or ("",)}
        if wanted & draft.names:
            return False
        draft.names |= wanted
        return True

    def _connections(self, draft: _Draft, gateway: Gateway, server: Server, *, passthrough: bool) -> None:
        for held in self._rules:
            if gateway.full_name not in held.gateways:
                continue
            for rule in held.tls if passthrough else held.tcp:
                clusters = weighted(
                    [(self._targets.of(d.destination, server.port), d.weight) for d in rule.destinations]
                )
                prefix = clusters[0][0] if len(clusters) == 1 else f"{held.name}.{held.namespace}"
                for match in rule.matches:
                    if not applies(match.source, gateway.full_name, server.port, self._outbound):
                        continue
                    sni = match.sni if passthrough else _server_names(server)
                    if passthrough and not all(_served(server, held.namespace, name) for name in sni):
                        continue
                    if self._claim(draft, sni, match.subnets):
                        tls = None if passthrough else server.tls
                        draft.doors.append(Door(sni, match.subnets, tls, "", Chain(clusters, prefix)))


def _server_names(server: Server) -> tuple[str, ...]:
    """The server names of a chain; none for all."""
    hosts = sorted({host for _, host in server.hosts})
    return () if "*" in hosts else tuple(hosts)


def _served(server: Server, namespace: str, host: str) -> bool:
    return any(home in {"*", namespace} and host_matches(pattern, host) for home, pattern in server.hosts)


def _common(pattern: str, host: str) -> str:
    """What falls under both a server's pattern and a host of a rule; empty for nothing."""
    if host_matches(pattern, host):
        return host
    return pattern if host_matches(host, pattern) else ""


def _hosts(
    servers: Sequence[tuple[Gateway, Server]],
    rules: Sequence[VirtualService],
    outbound: Outbound,
    targets: Targets,
) -> Iterator[Host]:
    """The virtual hosts of one table, sorted by domain; rules for one domain follow each other."""
    found: dict[str, list[tuple[VirtualService, tuple[HttpRoute, ...]]]] = {}
    https: dict[str, bool] = {}
    port = servers[0][1].port
    for gateway, server in servers:
        for held in rules:
            if gateway.full_name not in held.gateways:
                continue
            mine = rules_for(held.http, gateway.full_name, server.port, outbound)
            for home, pattern in server.hosts if mine else ():
                for host in held.hosts if home in {"*", held.namespace} else ():
                    domain = _common(pattern, host)
                    if domain and all(held is not other for other, _ in found.get(domain, ())):
                        found.setdefault(domain, []).append((held, mine))
                        https[domain] = https.get(domain, False) or server.redirect
        if server.redirect:
            for _, pattern in server.hosts:
                found.setdefault(pattern, [])
                https[pattern] = True
    if not found:
        yield Host(f"blackhole:{port}", ("*",), port)
    for domain in sorted(found):
        claims = found[domain]
        merged = _in_order([rule for _, mine in claims for rule in mine])
        yield Host(
            name=f"{domain}:{port}",
            domains=(domain,),
            port=port,
            rules=merged,
            about=origin(claims[0][0]) if len(claims) == 1 else "",
            targets=targets_of(merged, targets, port),
            https=https[domain],
        )


def _in_order(rules: Sequence[HttpRoute]) -> tuple[HttpRoute, ...]:
    """Rules that take every request go last."""
    special = [rule for rule in rules if not any(match.is_catch_all for match in rule.matches)]
    return (*special, *(rule for rule in rules if any(match.is_catch_all for match in rule.matches)))


def _filters(front: Front, door: Door, checks: Checks, config: MeshConfig) -> list[NetworkFilter]:
    if door.chain is not None:
        proxy = filters.tcp_proxy(door.chain.stat_prefix, door.chain.clusters, config, elsewhere=True)
        return [*authorization.network_filters(checks.policies), proxy]
    return [filters.gateway_http(f"outbound_{front.name}", door.route, checks, config)]


def listener(front: Front, checks: Checks, config: MeshConfig) -> Resource:
    """A gateway's listener, written out."""
    chains: list[FilterChain] = []
    for door in front.doors:
        chain = FilterChain(filters=_filters(front, door, checks, config))
        if door.sni or door.subnets:
            match = FilterChainMatch(server_names=door.sni, prefix_ranges=networks(door.subnets))
            chain.filter_chain_match.CopyFrom(match)
        if door.tls is not None:
            chain.transport_socket.CopyFrom(gateway_server(door.tls, config))
            chain.transport_socket_connect_timeout.CopyFrom(Duration(seconds=15))
        chains.append(chain)
    secure = any(door.tls is not None or door.sni for door in front.doors)
    held = Listener(
        name=front.name,
        address=socket_address(front.bind, front.port),
        traffic_direction=TrafficDirection.OUTBOUND,
        max_connections_to_accept_per_socket_event=uint32(1),
        continue_on_listener_filters_timeout=True,
        listener_filters_timeout=Duration(),
        listener_filters=[filters.tls_inspector()] if secure else [],
        filter_chains=chains,
    )
    return resource(front.name, held)
