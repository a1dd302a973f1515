"""Route tables of sidecars: one for each port that carries requests (RDS).

Source: Istio, names and domains of virtual hosts.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from linnet.envoy.messages import RouteConfiguration, VirtualHost
from linnet.ingest.names import host_matches
from linnet.model.proxy import Outbound
from linnet.model.resource import Resource
from linnet.model.route import Destination, HttpRoute, Source, VirtualService
from linnet.model.service import Port, Protocol, Resolution, Service
from linnet.translate import actions
from linnet.translate.targets import Target, Targets
from linnet.translate.wire import resource

MESH = "mesh"


class Host(Struct, frozen=True, cache_hash=True):
    """A virtual host, before it is written out. `targets` are those of all destinations in `rules`.

    Without rules all requests go to `target`. `https`: requests are sent to HTTPS instead.
    """

    name: str
    domains: tuple[str, ...]
    port: int
    target: Target | None = None
    rules: tuple[HttpRoute, ...] = ()
    about: str = ""
    targets: tuple[tuple[Destination, Target], ...] = ()
    https: bool = False


def applies(source: Source, gateway: str, port: int, outbound: Outbound) -> bool:
    """Whether a match is for a proxy, behind one gateway or the mesh, and for a port."""
    return (
        gateway in source.gateways
        and source.port in {0, port}
        and source.labels <= outbound.labels
        and source.namespace in {"", outbound.namespace}
    )


def rules_for(
    rules: Iterable[HttpRoute], gateway: str, port: int, outbound: Outbound
) -> tuple[HttpRoute, ...]:
    """The rules, each with only those of its matches that apply; rules without any are gone."""
    kept: list[HttpRoute] = []
    for rule in rules:
        matches = tuple(m for m in rule.matches if applies(m.source, gateway, port, outbound))
        if matches:
            kept.append(rule if len(matches) == len(rule.matches) else replace(rule, matches=matches))
    return tuple(kept)


def origin(held: VirtualService) -> str:
    """The path of a VirtualService at the API server, as Istio's metadata names it."""
    return f"/apis/networking.istio.io/v1/namespaces/{held.namespace}/virtual-service/{held.name}"


def targets_of(
    rules: Iterable[HttpRoute], targets: Targets, port: int
) -> tuple[tuple[Destination, Target], ...]:
    """The targets of all destinations in some rules."""
    found: dict[Destination, Target] = {}
    for rule in rules:
        for shared in rule.destinations:
            found[shared.destination] = targets.of(shared.destination, port)
        for mirror in rule.mirrors:
            found[mirror.destination] = targets.of(mirror.destination, port)
    return tuple(found.items())


class MeshRules:
    """VirtualServices of the mesh, ready to be asked for a host: the most specific one, the oldest one.

    `hosts` are the hosts that VirtualServices name, in the order of claims, with whoever has the claim.
    """

    def __init__(self, held: Sequence[VirtualService], namespace: str) -> None:
        self.hosts: dict[str, VirtualService] = {}
        for one in held:
            if MESH in one.gateways and one.http and one.visible_from(namespace):
                for host in one.hosts:
                    self.hosts.setdefault(host, one)
        self._wild = sorted((host for host in self.hosts if host.startswith("*")), key=len, reverse=True)

    def of(self, hostname: str) -> VirtualService | None:
        """The VirtualService that governs a host."""
        exact = self.hosts.get(hostname)
        if exact is not None:
            return exact
        wild = next((host for host in self._wild if host_matches(host, hostname)), None)
        return self.hosts[wild] if wild is not None else None


class Tables:
    """Makes the hosts of route tables for one outbound view."""

    def __init__(
        self,
        outbound: Outbound,
        services: Sequence[Service],
        rules: MeshRules,
        targets: Targets,
        domain: str,
    ) -> None:
        self._outbound, self._services, self._rules, self._targets = outbound, services, rules, targets
        self._suffix = f".svc.{domain}"
        self._known = {service.hostname for service in services}

    def of_port(self, number: int) -> tuple[Host, ...]:
        """The hosts that are called on a port, sorted by name; no domain is there twice."""
        taken: set[str] = set()
        hosts: list[Host] = []
        for service in self._services:
            port = next((p for p in service.ports if p.number == number and carries_requests(p)), None)
            if port is not None:
                self._add(hosts, taken, self._host(service, port, self._domains(service)))
        if number == 80:
            for name, held in self._rules.hosts.items():
                if not any(host_matches(name, known) for known in self._known):
                    rules = rules_for(held.http, MESH, number, self._outbound)
                    if rules:
                        self._add(hosts, taken, self._ruled(name, number, held, rules, (name,)))
        return tuple(sorted(hosts, key=lambda host: host.name))

    def of_service(self, service: Service, port: Port) -> tuple[Host, ...]:
        """The only host of a table that is for one service."""
        return (self._host(service, port, ("*",)),)

    def _add(self, hosts: list[Host], taken: set[str], host: Host) -> None:
        free = tuple(domain for domain in host.domains if domain.lower() not in taken)
        if free:
            taken.update(domain.lower() for domain in free)
            hosts.append(host if free == host.domains else replace(host, domains=free))

    def _host(self, service: Service, port: Port, domains: tuple[str, ...]) -> Host:
        held = self._rules.of(service.hostname)
        rules = rules_for(held.http, MESH, port.number, self._outbound) if held is not None else ()
        if held is not None and rules:
            return self._ruled(service.hostname, port.number, held, rules, domains)
        target = self._targets.of(Destination(service.hostname, port=port.number), port.number)
        return Host(f"{service.hostname}:{port.number}", domains, port.number, target)

    def _ruled(
        self,
        hostname: str,
        number: int,
        held: VirtualService,
        rules: tuple[HttpRoute, ...],
        domains: tuple[str, ...],
    ) -> Host:
        return Host(
            name=f"{hostname}:{number}",
            domains=domains,
            port=number,
            rules=rules,
            about=origin(held),
            targets=targets_of(rules, self._targets, number),
        )

    def _domains(self, service: Service) -> tuple[str, ...]:
        """Every way to write a service's name, and its addresses."""
        names = [name for host in (service.hostname, *service.aliases) for name in self._written(host)]
        if service.kubernetes and service.resolution is Resolution.PASSTHROUGH:
            names += [f"*.{name}" for name in names]
        names += [f"[{one}]" if ":" in one else one for one in service.addresses if "/" not in one]
        return tuple(dict.fromkeys(names))

    def _written(self, host: str) -> Iterator[str]:
        yield host
        if host.startswith("*"):
            return  # short forms of a wildcard would catch names that are not of its domain
        yield f"{host}."
        if not host.endswith(self._suffix):
            return
        short = host.removesuffix(self._suffix)  # name.namespace
        name, _, namespace = short.rpartition(".")
        ways = [f"{short}.svc", short]
        if namespace == self._outbound.namespace and name:
            ways.insert(0, name)
        yield from (way for way in ways if way not in self._known)


def carries_requests(port: Port) -> bool:
    """Whether a port belongs into route tables."""
    return port.protocol.is_http or port.protocol is Protocol.UNKNOWN


def virtual_host(host: Host) -> VirtualHost:
    """A virtual host, written out."""
    held = VirtualHost(name=host.name, domains=host.domains, include_request_attempt_count=True)
    if host.https:
        held.require_tls = VirtualHost.ALL
    if host.target is not None:
        held.routes.append(actions.plain(host.target, f"{host.target.host}:{host.target.port}/*"))
    else:
        held.routes.extend(actions.routes(host.rules, dict(host.targets), host.about, host.port))
    return held


def table(name: str, hosts: tuple[Host, ...], allow_any: bool | None) -> Resource:
    """A route table; `allow_any` says what becomes of other hosts, None: there are none."""
    held = RouteConfiguration(
        name=name,
        virtual_hosts=[virtual_host(host) for host in hosts],
        ignore_port_in_host_matching=True,
    )
    held.validate_clusters.value = False
    held.max_direct_response_body_size_bytes.value = 1_048_576
    if allow_any is not None:
        route = actions.everywhere() if allow_any else actions.nowhere()
        held.virtual_hosts.append(
            VirtualHost(name=route.name, domains=["*"], include_request_attempt_count=True, routes=[route])
        )
    return resource(name, held)
