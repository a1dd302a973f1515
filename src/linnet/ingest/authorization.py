"""AuthorizationPolicy: who may call.

What cannot be evaluated denies (law L4): an alternative of an ALLOW policy with such a field never matches;
in a DENY policy the field is left out, so that the alternative matches more.
Source: Istio, AuthorizationPolicy.
"""

import re
from collections.abc import Iterator

from linnet.ingest.decode import Item, spec_of
from linnet.ingest.report import Report
from linnet.ingest.values import is_header_name, is_port, subnet
from linnet.model.policy import Action, AuthorizationPolicy, AuthorizationRule, Condition, Kind
from linnet.model.route import Test, TextMatch
from linnet.objects.security import AuthorizationPolicySpec, Operation, Rule, Source
from linnet.objects.security import Condition as When

_NEVER = Condition(Kind.NEVER, ())
_SOURCE_FIELDS = (
    ("principals", Kind.PRINCIPAL),
    ("namespaces", Kind.NAMESPACE),
    ("service_accounts", Kind.SERVICE_ACCOUNT),
    ("ip_blocks", Kind.IP),
    ("remote_ip_blocks", Kind.REMOTE_IP),
    ("trust_domains", Kind.PRINCIPAL),
    ("request_principals", Kind.REQUEST_PRINCIPAL),
)
_OPERATION_FIELDS = (
    ("hosts", Kind.HOST),
    ("methods", Kind.METHOD),
    ("paths", Kind.PATH),
    ("ports", Kind.PORT),
)
_KEYS = {
    "source.principal": Kind.PRINCIPAL,
    "source.namespace": Kind.NAMESPACE,
    "source.serviceAccount": Kind.SERVICE_ACCOUNT,
    "source.ip": Kind.IP,
    "remote.ip": Kind.REMOTE_IP,
    "destination.ip": Kind.DESTINATION_IP,
    "destination.port": Kind.PORT,
    "connection.sni": Kind.SNI,
    "request.auth.principal": Kind.REQUEST_PRINCIPAL,
}
# What a token says about whom it is for, and who presents it.
_CLAIMS = {"request.auth.audiences": "aud", "request.auth.presenter": "azp"}
_CLAIM = re.compile(r"request\.auth\.claims((?:\[[^\[\]\n]+\])+)")
_CIDR = {Kind.IP, Kind.REMOTE_IP, Kind.DESTINATION_IP}


def wildcard(text: str) -> TextMatch:
    """`*` any, `abc*` prefix, `*abc` suffix, else exact."""
    if text == "*":
        return TextMatch(Test.PRESENT)
    if text.startswith("*"):
        return TextMatch(Test.SUFFIX, text[1:])
    if text.endswith("*"):
        return TextMatch(Test.PREFIX, text[:-1])
    return TextMatch(Test.EXACT, text)


class _Reader:
    """Reads the rules of one policy."""

    def __init__(self, action: Action, namespace: str, report: Report) -> None:
        self._action = action
        self._namespace = namespace
        self._report = report

    def rule(self, rule: Rule, path: str) -> AuthorizationRule:
        """One rule; `when` is part of every alternative."""
        whens = tuple(
            condition
            for number, when in enumerate(rule.when)
            for condition in self._when(when, f"{path}.when[{number}]")
        )
        callers = tuple(
            self._fields(_SOURCE_FIELDS, one.source or Source(), f"{path}.from[{number}].source")
            for number, one in enumerate(rule.from_)
        )
        operations = tuple(
            self._fields(_OPERATION_FIELDS, one.operation or Operation(), f"{path}.to[{number}].operation")
            for number, one in enumerate(rule.to)
        )
        if whens:
            callers = tuple((*held, *whens) for held in callers or ((),))
        return AuthorizationRule(callers, operations)

    def _fields(
        self, table: tuple[tuple[str, Kind], ...], held: Source | Operation, path: str
    ) -> tuple[Condition, ...]:
        found: list[Condition] = []
        for name, kind in table:
            for negated in (False, True):
                field = f"not_{name}" if negated else name
                values: tuple[str, ...] = getattr(held, field)
                if values:
                    where = f"{path}.{_camel(field)}"
                    if name == "trust_domains":
                        values = tuple(f"{value}/*" for value in values)
                    found += self._condition(kind, values, where, negated=negated)
        return tuple(found)

    def _when(self, when: When, path: str) -> Iterator[Condition]:
        kind, name = _KEYS.get(when.key, Kind.NEVER), ""
        if when.key.startswith("request.headers[") and when.key.endswith("]"):
            kind, name = Kind.HEADER, when.key[len("request.headers[") : -1]
            if not is_header_name(name):
                self._report.invalid(f"{path}.key", f"{name!r} is not the name of a header")
                kind = Kind.NEVER
        claim = _claim(when.key)
        if claim:
            kind, name = Kind.CLAIM, claim
        for values, negated in ((when.values, False), (when.not_values, True)):
            if values:
                where = f"{path}.{'notValues' if negated else 'values'}"
                yield from self._condition(kind, values, where, negated=negated, name=name)

    def _condition(
        self, kind: Kind, values: tuple[str, ...], path: str, *, negated: bool, name: str = ""
    ) -> Iterator[Condition]:
        if kind is Kind.NEVER:
            self._report.not_honoured(path)
        else:
            matches = tuple(filter(None, (self._value(kind, value, path) for value in values)))
            if matches and (len(matches) == len(values) or not negated):
                yield Condition(kind, matches, negated, name)
                return
        if self._action is Action.ALLOW:
            yield _NEVER

    def _value(self, kind: Kind, value: str, path: str) -> TextMatch | None:
        fault = ""
        if kind in _CIDR:
            network = subnet(value)
            if network is not None:
                return TextMatch(Test.EXACT, network)
            fault = "is not an address or a network"
        elif kind is Kind.PORT:
            if value.isdecimal() and is_port(int(value)):
                return TextMatch(Test.EXACT, value)
            fault = "is not the number of a port"
        elif kind is Kind.SERVICE_ACCOUNT:
            full = value if "/" in value else f"{self._namespace}/{value}"
            return TextMatch(Test.EXACT, full)
        elif kind is Kind.PATH and "{" in value:
            fault = "path templates have no effect yet"
        elif not value or "\0" in value:
            fault = "is empty"
        else:
            return wildcard(value)
        self._report.invalid(path, f"{value!r} {fault}")
        return None


def _claim(key: str) -> str:
    """The path of the claim that a key means, joined by line ends; empty for another key."""
    found = _CLAIM.fullmatch(key)
    return "\n".join(found[1][1:-1].split("][")) if found else _CLAIMS.get(key, "")


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def authorization_policy(held: Item, report: Report) -> AuthorizationPolicy | None:
    """The policy that an object is; None if it is not readable, or has no effect on what is let through."""
    spec = spec_of(held, AuthorizationPolicySpec, report)
    if spec is None:
        return None
    if spec.target_ref is not None or spec.target_refs:
        report.not_honoured("spec.targetRef" if spec.target_ref is not None else "spec.targetRefs")
        return None
    if spec.action == "AUDIT":
        report.not_honoured("spec.action")
        return None
    action = Action.ALLOW if spec.action in {None, "ALLOW"} else Action.DENY
    rules: tuple[AuthorizationRule, ...] = ()
    if spec.action == "CUSTOM":
        # Somebody is to be asked, and nobody can be: the requests in question are denied.
        report.not_honoured("spec.provider")
    reader = _Reader(action, held.namespace, report)
    rules = tuple(reader.rule(rule, f"spec.rules[{number}]") for number, rule in enumerate(spec.rules))
    selector = frozenset((spec.selector.match_labels or {}).items()) if spec.selector else frozenset()
    return AuthorizationPolicy(held.namespace, held.name, held.created, action, selector or None, rules)
