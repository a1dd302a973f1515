"""Rules for requests become Envoy's routes: one for each match of each rule.

Source: Istio, VirtualService.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from linnet.envoy.messages import (
    BoolValue,
    CorsPolicy,
    DataSource,
    Decorator,
    DirectResponseAction,
    FaultAbort,
    FaultDelay,
    FractionalPercent,
    HeaderMatcher,
    HeaderValue,
    HeaderValueOption,
    HTTPFault,
    Metadata,
    PreviousHostsPredicate,
    QueryParameterMatcher,
    RedirectAction,
    RegexMatchAndSubstitute,
    RegexMatcher,
    Route,
    RouteAction,
    RouteFilterConfig,
    RouteMatch,
    RouteRetryPolicy,
    RuntimeFractionalPercent,
    Struct,
    WeightedCluster,
)
from linnet.model.policy import HashKey
from linnet.model.route import (
    Cors,
    Destination,
    Fault,
    FieldMatch,
    HeaderChange,
    HttpMatch,
    HttpRoute,
    Redirect,
    Retries,
    Rewrite,
    Test,
    Weighted,
)
from linnet.translate import names
from linnet.translate.authorization import header
from linnet.translate.filters import CORS, FAULT
from linnet.translate.targets import NOWHERE, Target
from linnet.translate.wire import any_of, duration, text, uint32

Found = Mapping[Destination, Target]
_USUAL = Retries()
_MILLION = 1_000_000
_OTHER_HOST = 30  # choices of a host that was not tried before, until the last choice is taken anyway


def routes(rules: Iterable[HttpRoute], found: Found, about: str, port: int) -> Iterator[Route]:
    """Routes in order, up to the first one that takes every request. `about` leads to the VirtualService."""
    for rule in rules:
        for match in rule.matches:
            yield _route(rule, match, found, about, port)
            if match.is_catch_all:
                return


def plain(target: Target, operation: str, name: str = "default") -> Route:
    """All requests to one cluster, with the usual retries."""
    route = Route(name=name, match=RouteMatch(prefix="/"), decorator=Decorator(operation=operation))
    _forward(route, target)
    route.route.retry_policy.CopyFrom(_retries(_USUAL, hashed=target.key is not None))
    _timeout(route.route, 0)
    return route


def everywhere() -> Route:
    """Requests for hosts that the mesh does not know go where the application wanted."""
    route = Route(name="allow_any", match=RouteMatch(prefix="/"))
    route.route.cluster = names.PASSTHROUGH
    _timeout(route.route, 0)
    return route


def nowhere() -> Route:
    """Requests for hosts that the mesh does not know are refused."""
    answer = DirectResponseAction(status=502)
    return Route(name="block_all", match=RouteMatch(prefix="/"), direct_response=answer)


def _timeout(action: RouteAction, seconds: float) -> None:
    """How long an answer may take, 0 for ever; a gRPC client may ask for less."""
    action.timeout.CopyFrom(duration(seconds))
    action.max_stream_duration.grpc_timeout_header_max.CopyFrom(duration(seconds))


def _route(rule: HttpRoute, match: HttpMatch, found: Found, about: str, port: int) -> Route:
    name = f"{rule.name}.{match.name}" if rule.name and match.name else rule.name or match.name
    route = Route(name=name, match=_match(match), stat_prefix=match.stat_prefix)
    if about:
        origin = Struct()
        origin.update({"config": about})
        route.metadata.CopyFrom(Metadata(filter_metadata={"istio": origin}))
    _change_headers(route, rule.request, rule.response)
    if rule.redirect is not None:
        route.redirect.CopyFrom(_redirect(rule.redirect))
    elif rule.answer is not None:
        answer = DirectResponseAction(status=rule.answer.status)
        if rule.answer.body:
            answer.body.CopyFrom(DataSource(inline_bytes=rule.answer.body))
        route.direct_response.CopyFrom(answer)
    else:
        _forward_rule(route, rule, found, port)
    if rule.fault is not None:
        route.typed_per_filter_config[FAULT].CopyFrom(any_of(_fault(rule.fault)))
    if rule.cors is not None:
        route.typed_per_filter_config[CORS].CopyFrom(any_of(_cors(rule.cors)))
    return route


# -- matches ---------------------------------------------------------------------------------------


def _match(match: HttpMatch) -> RouteMatch:
    held = RouteMatch()
    uri = match.uri
    if uri is None:
        held.prefix = "/"
    elif uri.test is Test.EXACT:
        held.path = uri.value
    elif uri.test is Test.PREFIX:
        held.prefix = uri.value
    else:
        held.safe_regex.CopyFrom(RegexMatcher(regex=uri.value))
    if uri is not None and uri.test is not Test.REGEX:
        held.case_sensitive.CopyFrom(BoolValue(value=not match.ignore_case))
    held.headers.extend(_header(field) for field in match.fields)
    held.query_parameters.extend(_query(field) for field in match.query)
    return held


def _header(field: FieldMatch) -> HeaderMatcher:
    held = header(field.name, field.text)
    if field.inverted:
        held.invert_match = True
        held.treat_missing_header_as_empty = field.text.test is not Test.PRESENT
    return held


def _query(field: FieldMatch) -> QueryParameterMatcher:
    if field.text.test is Test.PRESENT:
        return QueryParameterMatcher(name=field.name, present_match=True)
    return QueryParameterMatcher(name=field.name, string_match=text(field.text))


# -- what becomes of a request ---------------------------------------------------------------------


def _redirect(held: Redirect) -> RedirectAction:
    codes = {
        301: RedirectAction.MOVED_PERMANENTLY,
        302: RedirectAction.FOUND,
        303: RedirectAction.SEE_OTHER,
        307: RedirectAction.TEMPORARY_REDIRECT,
        308: RedirectAction.PERMANENT_REDIRECT,
    }
    action = RedirectAction(host_redirect=held.host, response_code=codes[held.code], port_redirect=held.port)
    if held.scheme:
        action.scheme_redirect = held.scheme
    if held.path:
        action.path_redirect = held.path
    elif held.prefix:
        action.prefix_rewrite = held.prefix
    return action


def _forward(route: Route, target: Target) -> None:
    route.route.cluster = target.cluster
    route.route.hash_policy.extend(_hash(target.key))
    if target.own_tls:
        _without_mesh_alpn(route.typed_per_filter_config)


def _without_mesh_alpn(held: Any) -> None:
    """A destination with TLS of its own is not offered the mesh's protocols."""
    held[names.ALPN_FILTER].CopyFrom(any_of(RouteFilterConfig(disabled=True)))


def _forward_rule(route: Route, rule: HttpRoute, found: Found, port: int) -> None:
    shares = [one for one in rule.destinations if one.weight > 0] or list(rule.destinations[:1])
    hashed = False
    if len(shares) == 1:
        target = found.get(shares[0].destination, NOWHERE)
        _forward(route, target)
        _change_headers(route, shares[0].request, shares[0].response)
        hashed = target.key is not None
        route.decorator.operation = f"{shares[0].destination.host}:{target.port or port}/*"
    else:
        weighted = route.route.weighted_clusters
        for one in shares:
            target = found.get(one.destination, NOWHERE)
            weighted.clusters.append(_share(one, target))
            if target.key is not None and not hashed:
                route.route.hash_policy.extend(_hash(target.key))
                hashed = True
    action = route.route
    _timeout(action, rule.timeout)
    retries = _USUAL if rule.retries is None else rule.retries
    if retries.attempts > 0:
        action.retry_policy.CopyFrom(_retries(retries, hashed=hashed))
    if rule.rewrite is not None:
        _rewrite(action, rule.rewrite)
    for mirror in rule.mirrors:
        policy = action.request_mirror_policies.add()
        policy.cluster = found.get(mirror.destination, NOWHERE).cluster
        policy.runtime_fraction.CopyFrom(RuntimeFractionalPercent(default_value=_share_of(mirror.share)))
        policy.trace_sampled.value = False
        policy.disable_shadow_host_suffix_append = True


def _share(one: Weighted, target: Target) -> WeightedCluster.ClusterWeight:
    held = WeightedCluster.ClusterWeight(name=target.cluster, weight=uint32(one.weight))
    _change_headers(held, one.request, one.response)
    if target.own_tls:
        _without_mesh_alpn(held.typed_per_filter_config)
    return held


def _rewrite(action: RouteAction, held: Rewrite) -> None:
    if held.authority:
        action.host_rewrite_literal = held.authority
    if held.regex is not None:
        pattern, substitution = held.regex
        action.regex_rewrite.CopyFrom(
            RegexMatchAndSubstitute(pattern=RegexMatcher(regex=pattern), substitution=substitution)
        )
    elif held.prefix:
        action.prefix_rewrite = held.prefix


def _hash(key: HashKey | None) -> Iterator[RouteAction.HashPolicy]:
    if key is None:
        return
    held = RouteAction.HashPolicy()
    if key.header:
        held.header.header_name = key.header
    elif key.cookie:
        held.cookie.name = key.cookie
        held.cookie.path = key.cookie_path
        if key.cookie_ttl is not None:
            held.cookie.ttl.CopyFrom(duration(key.cookie_ttl))
    elif key.query:
        held.query_parameter.name = key.query
    else:
        held.connection_properties.source_ip = True
    yield held


def _retries(held: Retries, *, hashed: bool) -> RouteRetryPolicy:
    """When a request is tried again; with a hash the same endpoint may be taken again.

    Source: Istio, default retry policy. Another host is looked for more often than there: an endpoint that
    refuses connections has no requests, so the balancer prefers it, three times in four beside one other.
    """
    policy = RouteRetryPolicy(
        retry_on=held.conditions,
        num_retries=uint32(held.attempts),
        retriable_status_codes=held.status_codes,
        host_selection_retry_max_attempts=_OTHER_HOST,
    )
    if held.per_try_timeout:
        policy.per_try_timeout.CopyFrom(duration(held.per_try_timeout))
    if held.backoff:
        policy.retry_back_off.base_interval.CopyFrom(duration(held.backoff))
    if held.other_hosts and not hashed:
        predicate = RouteRetryPolicy.RetryHostPredicate(
            name="envoy.retry_host_predicates.previous_hosts",
            typed_config=any_of(PreviousHostsPredicate()),
        )
        policy.retry_host_predicate.append(predicate)
    return policy


def _change_headers(
    held: Route | WeightedCluster.ClusterWeight, request: HeaderChange, response: HeaderChange
) -> None:
    held.request_headers_to_add.extend(_headers(request))
    held.request_headers_to_remove.extend(request.remove)
    held.response_headers_to_add.extend(_headers(response))
    held.response_headers_to_remove.extend(response.remove)


def _headers(change: HeaderChange) -> Iterator[HeaderValueOption]:
    kinds = (
        (change.set, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD),
        (change.add, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
    )
    for pairs, action in kinds:
        for key, value in pairs:
            yield HeaderValueOption(header=HeaderValue(key=key, value=value), append_action=action)


def _share_of(millionths: int) -> FractionalPercent:
    return FractionalPercent(numerator=millionths, denominator=FractionalPercent.MILLION)


def _fault(held: Fault) -> HTTPFault:
    fault = HTTPFault()
    if held.delay:
        delay = FaultDelay(fixed_delay=duration(held.delay), percentage=_share_of(held.delay_share))
        fault.delay.CopyFrom(delay)
    if held.status:
        abort = FaultAbort(http_status=held.status, percentage=_share_of(held.abort_share))
        fault.abort.CopyFrom(abort)
    elif held.grpc_status:
        abort = FaultAbort(grpc_status=held.grpc_status, percentage=_share_of(held.abort_share))
        fault.abort.CopyFrom(abort)
    return fault


def _cors(held: Cors) -> CorsPolicy:
    policy = CorsPolicy(
        allow_origin_string_match=[text(origin) for origin in held.origins],
        allow_methods=",".join(held.methods),
        allow_headers=",".join(held.headers),
        expose_headers=",".join(held.exposed),
        max_age=str(held.max_age) if held.max_age else "",
        filter_enabled=RuntimeFractionalPercent(default_value=_share_of(_MILLION)),
    )
    if held.credentials is not None:
        policy.allow_credentials.CopyFrom(BoolValue(value=held.credentials))
    policy.forward_not_matching_preflights.CopyFrom(BoolValue(value=held.forward_unmatched))
    return policy
