"""PeerAuthentication, AuthorizationPolicy, RequestAuthentication: what admission refuses (pure).

Source: Istio, validation of each.
"""

import json
import re

from linnet.admit import names
from linnet.ingest.report import Report
from linnet.objects.security import (
    AuthorizationPolicySpec,
    Condition,
    JwtRule,
    PeerAuthenticationSpec,
    RequestAuthenticationSpec,
    Rule,
    Selector,
    Source,
    TargetRef,
)

_KEYS = frozenset(
    {
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
        "connection.sni",
    }
)
_KEYED = re.compile(r"(request\.headers\[[^\[\]]+\]|request\.auth\.claims(\[[^\[\]]+\])+|experimental\..+)\Z")


def peer_authentication(spec: PeerAuthenticationSpec, report: Report) -> None:
    """Report everything that is wrong with a PeerAuthentication."""
    _selector(spec.selector, "spec.selector", report)
    if spec.port_level_mtls is None:
        return
    if not spec.port_level_mtls:
        report.invalid("spec.portLevelMtls", "port level mTLS must not be empty")
    if spec.selector is None or not spec.selector.match_labels:
        report.invalid("spec.portLevelMtls", "mesh/namespace peer authentication cannot have port level mTLS")
    for text in spec.port_level_mtls:
        _port(text, "spec.portLevelMtls", report)


def authorization_policy(spec: AuthorizationPolicySpec, report: Report) -> None:
    """Report everything that is wrong with an AuthorizationPolicy."""
    _attached(spec.selector, spec.target_ref, spec.target_refs, report)
    action = spec.action or "ALLOW"
    if action == "CUSTOM":
        if not spec.rules:
            report.invalid(
                "spec.rules", "CUSTOM action without rules is meaningless as it will never be triggered"
            )
        if spec.provider is None or not spec.provider.name:
            report.invalid("spec.provider.name", "CUSTOM action must name a provider")
    elif spec.provider is not None:
        report.invalid("spec.provider", f"{action} action must not have a provider")
    if action == "DENY" and not spec.rules:
        report.invalid("spec.rules", "DENY action without rules is meaningless as it will never be triggered")
    for index, rule in enumerate(spec.rules):
        _rule(rule, f"spec.rules[{index}]", report)


def _rule(rule: Rule, path: str, report: Report) -> None:
    for index, origin in enumerate(rule.from_):
        here = f"{path}.from[{index}].source"
        if origin.source is None or origin.source == Source():
            report.invalid(here, "'from.source' must have at least one field")
        else:
            _source(origin.source, here, report)
    for index, target in enumerate(rule.to):
        here = f"{path}.to[{index}].operation"
        operation = target.operation
        if operation is None or not any(getattr(operation, name) for name in operation.__struct_fields__):
            report.invalid(here, "'to.operation' must have at least one field")
            continue
        for text in (*operation.ports, *operation.not_ports):
            _port(text, f"{here}.ports", report)
        for text in (*operation.hosts, *operation.methods, *operation.paths):
            if not text:
                report.invalid(here, "empty strings match nothing")
    for index, condition in enumerate(rule.when):
        _condition(condition, f"{path}.when[{index}]", report)


def _source(source: Source, path: str, report: Report) -> None:
    for name, values in (
        ("ipBlocks", source.ip_blocks),
        ("notIpBlocks", source.not_ip_blocks),
        ("remoteIpBlocks", source.remote_ip_blocks),
        ("notRemoteIpBlocks", source.not_remote_ip_blocks),
    ):
        for text in values:
            names.network(text, f"{path}.{name}", report)
    if (source.service_accounts or source.not_service_accounts) and (source.principals or source.namespaces):
        report.invalid(path, "serviceAccounts cannot be set with principals or namespaces")
    for text in (*source.principals, *source.namespaces, *source.request_principals):
        if not text:
            report.invalid(path, "empty strings match nothing")


def _condition(condition: Condition, path: str, report: Report) -> None:
    if condition.key not in _KEYS and not _KEYED.match(condition.key):
        report.invalid(f"{path}.key", f"unknown condition key {condition.key!r}")
    if not condition.values and not condition.not_values:
        report.invalid(path, "at least one of values and notValues is required")
    for text in (*condition.values, *condition.not_values):
        if condition.key in ("source.ip", "remote.ip", "destination.ip"):
            names.network(text, f"{path}.values", report)
        elif condition.key == "destination.port":
            _port(text, f"{path}.values", report)


def request_authentication(spec: RequestAuthenticationSpec, report: Report) -> None:
    """Report everything that is wrong with a RequestAuthentication."""
    _attached(spec.selector, spec.target_ref, spec.target_refs, report)
    for index, rule in enumerate(spec.jwt_rules):
        _jwt(rule, f"spec.jwtRules[{index}]", report)


def _jwt(rule: JwtRule, path: str, report: Report) -> None:
    if not rule.issuer:
        report.invalid(f"{path}.issuer", "issuer must be set")
    uri = rule.jwks_uri or rule.old_jwks_uri
    if uri and rule.jwks:
        report.invalid(path, "only one of jwksUri and jwks can be set")
    if uri and not uri.startswith(("http://", "https://")):
        report.invalid(f"{path}.jwksUri", f"{uri!r} is not an http or https URL")
    if rule.jwks:
        try:
            keys = json.loads(rule.jwks)
        except json.JSONDecodeError as fault:
            report.invalid(f"{path}.jwks", f"not valid JSON: {fault}")
        else:
            if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
                report.invalid(f"{path}.jwks", "expected an object with a list of keys")
    names.duration(rule.timeout, f"{path}.timeout", report)


def _attached(
    selector: Selector | None, ref: TargetRef | None, refs: tuple[TargetRef, ...], report: Report
) -> None:
    _selector(selector, "spec.selector", report)
    if selector is not None and (ref is not None or refs):
        report.invalid("spec", "only one of targetRefs or selector can be set")


def _selector(selector: Selector | None, path: str, report: Report) -> None:
    for key, value in ((selector and selector.match_labels) or {}).items():
        if not key:
            report.invalid(path, "label keys must not be empty")
        if "*" in key or "*" in value:
            report.invalid(path, "wildcards are not supported in selectors")


def _port(text: str, path: str, report: Report) -> None:
    if not text.isdecimal():
        report.invalid(path, f"{text!r} is not a port number")
    else:
        names.port(int(text), path, report)
