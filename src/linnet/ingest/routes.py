"""VirtualService: where requests and connections go, checked so that Envoy takes every route.

A part that is wrong is left out by itself: a match, a destination, a header, or the whole rule where leaving
out the part would send requests where nobody meant them to go.
Source: Istio, VirtualService.
"""

from collections.abc import Iterable

from linnet.ingest import values
from linnet.ingest.decode import Item, spec_of
from linnet.ingest.home import Home
from linnet.ingest.http_rules import http_rule
from linnet.ingest.names import exports
from linnet.ingest.report import Report
from linnet.model.route import (
    ConnectionMatch,
    ConnectionRoute,
    VirtualService,
    Weighted,
)
from linnet.model.snapshot import MeshConfig
from linnet.objects import virtual_service as written


def virtual_service(held: Item, config: MeshConfig, report: Report) -> VirtualService | None:
    """What an object says; None if it is not readable or no host is left."""
    spec = spec_of(held, written.VirtualServiceSpec, report)
    if spec is None:
        return None
    home = Home(held.namespace, config.domain, spec.gateways)
    hosts = tuple(dict.fromkeys(_hosts(spec.hosts, home, report)))
    if not hosts:
        if not spec.hosts:
            report.invalid("spec.hosts", "is empty: without hosts nothing is routed")
        return None
    http = (http_rule(rule, home, f"spec.http[{n}]", report) for n, rule in enumerate(spec.http))
    tls = (_tls(rule, home, f"spec.tls[{n}]", report) for n, rule in enumerate(spec.tls))
    tcp = (_tcp(rule, home, f"spec.tcp[{n}]", report) for n, rule in enumerate(spec.tcp))
    return VirtualService(
        namespace=held.namespace,
        name=held.name,
        created=held.created,
        hosts=hosts,
        gateways=home.gateways,
        exported_to=exports(spec.export_to, held.namespace),
        http=tuple(rule for rule in http if rule is not None),
        tls=tuple(rule for rule in tls if rule is not None),
        tcp=tuple(rule for rule in tcp if rule is not None),
    )


def _hosts(hosts: Iterable[str], home: Home, report: Report) -> Iterable[str]:
    for number, name in enumerate(hosts):
        host = home.host(name)
        if values.is_domain(host):
            yield host
        else:
            report.invalid(f"spec.hosts[{number}]", f"{name!r} is not the name of a host")


def _shares(
    routes: Iterable[written.RouteDestination], home: Home, path: str, report: Report
) -> tuple[Weighted, ...]:
    found: list[Weighted] = []
    for number, route in enumerate(routes):
        where = f"{path}.route[{number}]"
        destination = home.destination(route.destination, f"{where}.destination", report)
        weight = route.weight or 0
        if weight < 0 or weight > 1_000_000:
            report.invalid(f"{where}.weight", f"{weight} is not a weight")
        elif destination is not None:
            found.append(Weighted(destination, weight))
    return tuple(found)


def _subnets(texts: tuple[str, ...], path: str, report: Report) -> tuple[str, ...] | None:
    """Networks in their plain form; None if one is wrong: without it the match would take too much."""
    found = [values.subnet(text) for text in texts]
    for number, network in enumerate(found):
        if network is None:
            report.invalid(f"{path}[{number}]", f"{texts[number]!r} is not an address or a network")
    held = tuple(dict.fromkeys(network for network in found if network is not None))
    return held if None not in found else None


def _tls(rule: written.TlsRoute, home: Home, path: str, report: Report) -> ConnectionRoute | None:
    matches: list[ConnectionMatch] = []
    for number, match in enumerate(rule.match):
        where = f"{path}.match[{number}]"
        subnets = _subnets(match.destination_subnets, f"{where}.destinationSubnets", report)
        names = tuple(dict.fromkeys(name.lower() for name in match.sni_hosts))
        wrong = [name for name in names if not is_server_name(name)]
        if wrong or not names:
            report.invalid(f"{where}.sniHosts", f"{wrong or 'nothing'} cannot be a server name")
        elif subnets is not None:
            source = home.source(match.gateways, match.source_labels, match.source_namespace, match.port)
            matches.append(ConnectionMatch(source, () if "*" in names else names, subnets))
    shares = _shares(rule.route, home, path, report)
    if not matches or not shares:
        report.invalid(path, "is left out: it has no match or no destination")
        return None
    return ConnectionRoute(tuple(matches), shares)


def is_server_name(name: str) -> bool:
    """Whether Envoy takes it as a server name of a filter chain: a wildcard stands for whole labels."""
    if name == "*":
        return True
    return values.is_domain(name) and "*" not in name.removeprefix("*.") and not name.startswith("*-")


def _tcp(rule: written.TcpRoute, home: Home, path: str, report: Report) -> ConnectionRoute | None:
    matches: list[ConnectionMatch] = []
    for number, match in enumerate(rule.match):
        where = f"{path}.match[{number}]"
        subnets = _subnets(match.destination_subnets, f"{where}.destinationSubnets", report)
        if match.source_subnet:
            continue  # reported as not honoured; without it the match would take too much
        if subnets is not None:
            source = home.source(match.gateways, match.source_labels, match.source_namespace, match.port)
            matches.append(ConnectionMatch(source, (), subnets))
    if not rule.match:
        matches.append(ConnectionMatch(home.source((), None, None, None)))
    shares = _shares(rule.route, home, path, report)
    if not matches or not shares:
        report.invalid(path, "is left out: it has no match or no destination")
        return None
    return ConnectionRoute(tuple(matches), shares)
