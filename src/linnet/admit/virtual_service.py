"""VirtualService: what admission refuses (pure). Source: Istio, validation of VirtualService."""

from collections.abc import Sequence

from linnet.admit import names
from linnet.ingest.report import Report
from linnet.ingest.values import is_header_name, is_status
from linnet.objects.virtual_service import (
    Destination,
    Fault,
    Headers,
    HttpDestination,
    HttpMatch,
    HttpRoute,
    Percentage,
    Retries,
    RouteDestination,
    StringMatch,
    TcpRoute,
    TlsRoute,
    VirtualServiceSpec,
)


def check(spec: VirtualServiceSpec, report: Report) -> None:
    """Report everything that is wrong."""
    delegate = not spec.hosts and not spec.gateways
    if not spec.hosts and not delegate:
        report.invalid("spec.hosts", "a virtual service must have at least one host")
    in_mesh = not spec.gateways or "mesh" in spec.gateways
    for index, name in enumerate(spec.hosts):
        path = f"spec.hosts[{index}]"
        names.host(name, path, report, address=True)
        if in_mesh and name == "*":
            report.invalid(
                path, "wildcard host * is not allowed for virtual services bound to the mesh gateway"
            )
    names.unique(spec.hosts, "spec.hosts", "host", report)
    names.exports(spec.export_to, "spec.exportTo", report)
    if not (spec.http or spec.tcp or spec.tls):
        report.invalid("spec", "http, tcp or tls must be provided in virtual service")
    for index, route in enumerate(spec.http):
        _http(route, f"spec.http[{index}]", report, delegate=delegate)
    for index, tcp in enumerate(spec.tcp):
        _stream(tcp, f"spec.tcp[{index}]", report)
    for index, tls in enumerate(spec.tls):
        _tls(tls, f"spec.tls[{index}]", spec.hosts, report)


def _http(route: HttpRoute, path: str, report: Report, *, delegate: bool) -> None:
    kinds = [
        name
        for name, value in (
            ("route", route.route),
            ("redirect", route.redirect),
            ("directResponse", route.direct_response),
            ("delegate", route.delegate),
        )
        if value
    ]
    if len(kinds) > 1:
        report.invalid(path, f"HTTP route cannot contain both {kinds[0]} and {kinds[1]}")
    if not kinds:
        report.invalid(path, "HTTP route, redirect, direct_response or delegate is required")
    if delegate and route.delegate:
        report.invalid(f"{path}.delegate", "a delegate cannot delegate again")
    for index, match in enumerate(route.match):
        _match(match, f"{path}.match[{index}]", report)
    _destinations(route.route, f"{path}.route", report)
    _headers(route.headers, f"{path}.headers", report)
    if route.redirect:
        _redirect(route, path, report)
    if route.direct_response and not is_status(route.direct_response.status):
        report.invalid(f"{path}.directResponse.status", f"{route.direct_response.status} is no HTTP status")
    if route.mirror:
        _destination(route.mirror, f"{path}.mirror", report)
    for index, mirror in enumerate(route.mirrors):
        _destination(mirror.destination, f"{path}.mirrors[{index}].destination", report)
        _percentage(mirror.percentage, f"{path}.mirrors[{index}].percentage", report)
    _percentage(route.mirror_percentage, f"{path}.mirrorPercentage", report)
    names.duration(route.timeout, f"{path}.timeout", report)
    _retries(route.retries, f"{path}.retries", report)
    _fault(route.fault, f"{path}.fault", report)
    if route.rewrite and route.rewrite.uri_regex_rewrite:
        names.pattern(route.rewrite.uri_regex_rewrite.match, f"{path}.rewrite.uriRegexRewrite.match", report)
    if route.cors_policy:
        names.duration(route.cors_policy.max_age, f"{path}.corsPolicy.maxAge", report)
        for index, origin in enumerate(route.cors_policy.allow_origins):
            _text(origin, f"{path}.corsPolicy.allowOrigins[{index}]", report)


def _redirect(route: HttpRoute, path: str, report: Report) -> None:
    redirect = route.redirect
    assert redirect is not None
    if redirect.redirect_code not in (None, 0, 301, 302, 303, 307, 308):
        report.invalid(f"{path}.redirect.redirectCode", f"{redirect.redirect_code} is not a redirect code")
    if redirect.scheme not in (None, "", "http", "https"):
        report.invalid(f"{path}.redirect.scheme", f"{redirect.scheme!r} is neither http nor https")
    names.port(redirect.port, f"{path}.redirect.port", report)
    if route.fault:
        report.invalid(path, "HTTP route cannot contain both fault and redirect")
    if route.rewrite:
        report.invalid(path, "HTTP route rule cannot contain both rewrite and redirect")


def _match(match: HttpMatch, path: str, report: Report) -> None:
    for name, value in (
        ("uri", match.uri),
        ("scheme", match.scheme),
        ("method", match.method),
        ("authority", match.authority),
    ):
        if value:
            _text(value, f"{path}.{name}", report)
    for field, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for header, text in (headers or {}).items():
            if not is_header_name(header.removeprefix(":")):
                report.invalid(f"{path}.{field}", f"{header!r} is not a header name")
            _text(text, f"{path}.{field}.{header}", report)
    for name, text in (match.query_params or {}).items():
        _text(text, f"{path}.queryParams.{name}", report)
    names.port(match.port, f"{path}.port", report)
    names.labels(match.source_labels, f"{path}.sourceLabels", report)


def _text(match: StringMatch, path: str, report: Report) -> None:
    names.pattern(match.regex, f"{path}.regex", report)
    if sum(value is not None for value in (match.exact, match.prefix, match.regex)) > 1:
        report.invalid(path, "only one of exact, prefix, regex may be set")


def _destinations(routes: Sequence[HttpDestination | RouteDestination], path: str, report: Report) -> None:
    for index, route in enumerate(routes):
        here = f"{path}[{index}]"
        _destination(route.destination, f"{here}.destination", report)
        if route.weight is not None and route.weight < 0:
            report.invalid(f"{here}.weight", f"weight {route.weight} < 0")
        if isinstance(route, HttpDestination):
            _headers(route.headers, f"{here}.headers", report)
    if len(routes) > 1 and sum(route.weight or 0 for route in routes) <= 0:
        report.invalid(path, "total destination weight = 0")


def _destination(destination: Destination, path: str, report: Report) -> None:
    if destination.host == "*":
        report.invalid(f"{path}.host", "invalid destination host *")
    else:
        names.host(destination.host, f"{path}.host", report)
    if destination.subset:
        names.label(destination.subset, f"{path}.subset", report)
    if destination.port:
        names.port(destination.port.number, f"{path}.port.number", report)


def _headers(headers: Headers | None, path: str, report: Report) -> None:
    for side, operations in (
        ("request", headers and headers.request),
        ("response", headers and headers.response),
    ):
        if not operations:
            continue
        for header in (*(operations.add or {}), *(operations.set or {}), *operations.remove):
            if not is_header_name(header):
                report.invalid(f"{path}.{side}", f"{header!r} is not a header name")


def _retries(retries: Retries | None, path: str, report: Report) -> None:
    if not retries:
        return
    if (retries.attempts or 0) < 0:
        report.invalid(f"{path}.attempts", "attempts cannot be negative")
    names.duration(retries.per_try_timeout, f"{path}.perTryTimeout", report, least=0.001)
    names.duration(retries.backoff, f"{path}.backoff", report)
    if retries.attempts == 0 and (retries.per_try_timeout or retries.retry_on):
        report.invalid(path, "http retry policy configured when attempts are set to 0 (disabled)")


def _fault(fault: Fault | None, path: str, report: Report) -> None:
    if not fault:
        return
    if not fault.abort and not fault.delay:
        report.invalid(path, "HTTP fault injection must have an abort and/or a delay")
    if fault.delay:
        names.duration(fault.delay.fixed_delay, f"{path}.delay.fixedDelay", report, least=0.001)
        _percentage(fault.delay.percentage, f"{path}.delay.percentage", report)
    if fault.abort:
        _percentage(fault.abort.percentage, f"{path}.abort.percentage", report)
        status = fault.abort.http_status
        if status is not None and not is_status(status):
            report.invalid(f"{path}.abort.httpStatus", f"HTTP status {status} is not in range 200-599")


def _percentage(percentage: Percentage | None, path: str, report: Report) -> None:
    value = percentage.value if percentage else None
    if value is not None and not 0 <= value <= 100:
        report.invalid(path, f"percentage {value:g} is not in range 0..100")


def _stream(route: TcpRoute, path: str, report: Report) -> None:
    if not route.route:
        report.invalid(f"{path}.route", "TCP route must have at least one destination")
    _destinations(route.route, f"{path}.route", report)
    for index, match in enumerate(route.match):
        here = f"{path}.match[{index}]"
        for text in match.destination_subnets:
            names.network(text, f"{here}.destinationSubnets", report)
        names.port(match.port, f"{here}.port", report)


def _tls(route: TlsRoute, path: str, hosts: Sequence[str], report: Report) -> None:
    if not route.match:
        report.invalid(f"{path}.match", "TLS route must have at least one match condition")
    if not route.route:
        report.invalid(f"{path}.route", "TLS route is required")
    _destinations(route.route, f"{path}.route", report)
    for index, match in enumerate(route.match):
        here = f"{path}.match[{index}]"
        if not match.sni_hosts:
            report.invalid(f"{here}.sniHosts", "TLS match must have at least one SNI host")
        for name in match.sni_hosts:
            names.host(name, f"{here}.sniHosts", report)
            if not any(_within(name, host) for host in hosts):
                report.invalid(
                    f"{here}.sniHosts", f"SNI host {name!r} is not a compatible subset of spec.hosts"
                )
        names.port(match.port, f"{here}.port", report)


def _within(name: str, host: str) -> bool:
    return name == host or (host.startswith("*") and name.endswith(host[1:]))
