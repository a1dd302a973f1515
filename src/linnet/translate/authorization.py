"""AuthorizationPolicies become RBAC filters: DENY first, then ALLOW.

On connections that are not HTTP a rule that needs a request is left out of ALLOW, and loses what it needs in
DENY: either way less is let through (law L4).
Source: Istio, AuthorizationPolicy.
"""

import re
from collections.abc import Callable, Iterable

from linnet.envoy.messages import (
    RBAC,
    HeaderMatcher,
    HttpFilter,
    HttpRBAC,
    ListMatcher,
    MetadataMatcher,
    NetworkFilter,
    NetworkRBAC,
    OrMatcher,
    PathMatcher,
    Permission,
    Policy,
    Principal,
    RegexMatcher,
    SourcedMetadata,
    StringMatcher,
    ValueMatcher,
)
from linnet.model.policy import (
    HTTP_ONLY,
    Action,
    AuthorizationPolicy,
    AuthorizationRule,
    Condition,
    Kind,
)
from linnet.model.route import Test, TextMatch
from linnet.translate import tokens
from linnet.translate.wire import any_of, networks, text

_CALLER = {Kind.PRINCIPAL, Kind.NAMESPACE, Kind.SERVICE_ACCOUNT, Kind.IP, Kind.REMOTE_IP, Kind.HEADER} | {
    Kind.REQUEST_PRINCIPAL,
    Kind.CLAIM,
}


def http_filters(policies: tuple[AuthorizationPolicy, ...]) -> list[HttpFilter]:
    """The filters for requests."""
    return [
        HttpFilter(name="envoy.filters.http.rbac", typed_config=any_of(HttpRBAC(rules=rules)))
        for rules in filters_of(policies, http=True)
    ]


def network_filters(policies: tuple[AuthorizationPolicy, ...]) -> list[NetworkFilter]:
    """The filters for connections."""
    return [
        NetworkFilter(
            name="envoy.filters.network.rbac",
            typed_config=any_of(NetworkRBAC(rules=rules, stat_prefix="tcp.")),
        )
        for rules in filters_of(policies, http=False)
    ]


def filters_of(policies: tuple[AuthorizationPolicy, ...], *, http: bool) -> Iterable[RBAC]:
    """What the filters say, in their order; none for an action that no policy has."""
    for action, envoy in ((Action.DENY, RBAC.DENY), (Action.ALLOW, RBAC.ALLOW)):
        held = [policy for policy in policies if policy.action is action]
        if held:
            yield RBAC(action=envoy, policies=dict(_policies(held, http=http)))


def _policies(held: list[AuthorizationPolicy], *, http: bool) -> Iterable[tuple[str, Policy]]:
    """Names ``ns[<namespace>]-policy[<name>]-rule[<number>]``; a policy without rules matches nothing."""
    for policy in held:
        prefix = f"ns[{policy.namespace}]-policy[{policy.name}]-rule"
        if not policy.rules:
            yield f"{prefix}[0]", _never()
        for number, rule in enumerate(policy.rules):
            fitting = rule if http else _without_requests(rule, policy.action)
            yield f"{prefix}[{number}]", _never() if fitting is None else _policy(fitting)


def _never() -> Policy:
    nobody = Principal(not_id=Principal(any=True))
    return Policy(permissions=[Permission(not_rule=Permission(any=True))], principals=[nobody])


def _without_requests(rule: AuthorizationRule, action: Action) -> AuthorizationRule | None:
    """The rule for connections: ALLOW loses alternatives that need a request, DENY only the need."""

    def fitting(alternatives: tuple[tuple[Condition, ...], ...]) -> tuple[tuple[Condition, ...], ...]:
        if action is Action.ALLOW:
            return tuple(one for one in alternatives if not any(c.kind in HTTP_ONLY for c in one))
        return tuple(tuple(c for c in one if c.kind not in HTTP_ONLY) for one in alternatives)

    callers, operations = fitting(rule.callers), fitting(rule.operations)
    if (rule.callers and not callers) or (rule.operations and not operations):
        return None
    return AuthorizationRule(callers, operations)


def _policy(rule: AuthorizationRule) -> Policy:
    """Conditions of a caller that are about the operation are checked with the caller: both sides can."""
    permissions = [_all_permissions(one) for one in rule.operations] or [Permission(any=True)]
    if not rule.callers:
        return Policy(permissions=permissions, principals=[Principal(any=True)])
    simple = all(c.kind in _CALLER or c.kind is Kind.NEVER for one in rule.callers for c in one)
    if simple:
        return Policy(permissions=permissions, principals=[_all_principals(one) for one in rule.callers])
    # `when` also names ports and addresses, which only permissions know; it is in every alternative.
    shared = [c for c in rule.callers[0] if c.kind not in _CALLER and c.kind is not Kind.NEVER]
    rest = [tuple(c for c in one if c.kind in _CALLER or c.kind is Kind.NEVER) for one in rule.callers]
    narrowed = [
        Permission(and_rules=Permission.Set(rules=[held, *(_permission(c) for c in shared)]))
        for held in permissions
    ]
    return Policy(permissions=narrowed, principals=[_all_principals(one) for one in rest])


def _all_permissions(conditions: tuple[Condition, ...]) -> Permission:
    held = [_permission(condition) for condition in conditions]
    if not held:
        return Permission(any=True)
    return Permission(and_rules=Permission.Set(rules=held))


def _all_principals(conditions: tuple[Condition, ...]) -> Principal:
    held = [_principal(condition) for condition in conditions]
    if not held:
        return Principal(any=True)
    return Principal(and_ids=Principal.Set(ids=held))


def _permission(condition: Condition) -> Permission:
    if condition.kind is Kind.NEVER:
        return Permission(not_rule=Permission(any=True))
    one = _PERMISSIONS[condition.kind]
    held = Permission(or_rules=Permission.Set(rules=[one(value) for value in condition.values]))
    return Permission(not_rule=held) if condition.negated else held


def _principal(condition: Condition) -> Principal:
    if condition.kind is Kind.NEVER:
        return Principal(not_id=Principal(any=True))
    if condition.kind is Kind.HEADER:
        held = [Principal(header=header(condition.name, value)) for value in condition.values]
    elif condition.kind is Kind.CLAIM:
        held = [_claim(condition.name.split("\n"), value) for value in condition.values]
    else:
        held = [_PRINCIPALS[condition.kind](value) for value in condition.values]
    either = Principal(or_ids=Principal.Set(ids=held))
    return Principal(not_id=either) if condition.negated else either


def header(name: str, value: TextMatch, *, ignore_case: bool = False) -> HeaderMatcher:
    """A header with some value; any value will do for PRESENT."""
    if value.test is Test.PRESENT:
        return HeaderMatcher(name=name, present_match=True)
    return HeaderMatcher(name=name, string_match=text(value, ignore_case=ignore_case))


def _path(value: TextMatch) -> Permission:
    return Permission(url_path=PathMatcher(path=text(value)))


def _identity(value: TextMatch) -> Principal:
    """A SPIFFE ID, given without its scheme."""
    matcher = text(value)
    if value.test in {Test.EXACT, Test.PREFIX}:
        full = TextMatch(value.test, f"spiffe://{value.value}")
        matcher = text(full)
    return Principal(authenticated=Principal.Authenticated(principal_name=matcher))


def _claim(path: list[str], value: TextMatch) -> Principal:
    """A claim of the request's token that is the text, or a list with it."""
    empty = value.test in {Test.PREFIX, Test.SUFFIX} and not value.value
    one = ValueMatcher(string_match=text(TextMatch(Test.PRESENT) if empty else value))
    either = ValueMatcher(
        or_match=OrMatcher(value_matchers=[one, ValueMatcher(list_match=ListMatcher(one_of=one))])
    )
    steps = [MetadataMatcher.PathSegment(key=key) for key in (tokens.PAYLOAD, *path)]
    matcher = MetadataMatcher(filter=tokens.FILTER, path=steps, value=either)
    return Principal(sourced_metadata=SourcedMetadata(metadata_matcher=matcher))


def _request_principal(value: TextMatch) -> Principal:
    """Issuer and subject of the request's token, written with a slash between them.

    Both may hold slashes themselves: each slash of the text may be the one between them.
    """
    ways: list[tuple[TextMatch, TextMatch]] = []
    any_text, parts = TextMatch(Test.PRESENT), value.value.split("/")
    splits = [("/".join(parts[:n]), "/".join(parts[n:])) for n in range(1, len(parts))]
    match value.test:
        case Test.PRESENT:
            ways = [(any_text, any_text)]
        case Test.PREFIX:
            ways = [(value, any_text)]
            ways += [(_exactly(issuer), TextMatch(Test.PREFIX, rest)) for issuer, rest in splits]
        case Test.SUFFIX:
            ways = [(any_text, value)]
            ways += [(TextMatch(Test.SUFFIX, issuer), _exactly(subject)) for issuer, subject in splits]
        case _:
            ways = [(_exactly(issuer), _exactly(subject)) for issuer, subject in splits]
    found = [
        Principal(and_ids=Principal.Set(ids=[_claim(["iss"], issuer), _claim(["sub"], subject)]))
        for issuer, subject in ways
    ]
    return Principal(or_ids=Principal.Set(ids=found or [Principal(not_id=Principal(any=True))]))


def _exactly(value: str) -> TextMatch:
    return TextMatch(Test.EXACT, value)


def _by_pattern(pattern: str) -> Principal:
    name = StringMatcher(safe_regex=RegexMatcher(regex=pattern))
    return Principal(authenticated=Principal.Authenticated(principal_name=name))


def _namespace(value: TextMatch) -> Principal:
    quoted = re.escape(value.value)
    part = {
        Test.EXACT: quoted,
        Test.PREFIX: f"{quoted}[^/]*",
        Test.SUFFIX: f"[^/]*{quoted}",
        Test.PRESENT: "[^/]+",
    }
    return _by_pattern(f".*/ns/{part[value.test]}/.*")


def _account(value: TextMatch) -> Principal:
    namespace, _, account = value.value.partition("/")
    return _by_pattern(f"spiffe://.+/ns/{re.escape(namespace)}/sa/{re.escape(account)}")


_PERMISSIONS: dict[Kind, Callable[[TextMatch], Permission]] = {
    Kind.HOST: lambda value: Permission(header=header(":authority", value, ignore_case=True)),
    Kind.METHOD: lambda value: Permission(header=header(":method", value)),
    Kind.PATH: _path,
    Kind.PORT: lambda value: Permission(destination_port=int(value.value)),
    Kind.DESTINATION_IP: lambda value: Permission(destination_ip=networks([value.value])[0]),
    Kind.SNI: lambda value: Permission(requested_server_name=text(value)),
}
_PRINCIPALS: dict[Kind, Callable[[TextMatch], Principal]] = {
    Kind.PRINCIPAL: _identity,
    Kind.NAMESPACE: _namespace,
    Kind.SERVICE_ACCOUNT: _account,
    Kind.REQUEST_PRINCIPAL: _request_principal,
    Kind.IP: lambda value: Principal(direct_remote_ip=networks([value.value])[0]),
    Kind.REMOTE_IP: lambda value: Principal(remote_ip=networks([value.value])[0]),
}
