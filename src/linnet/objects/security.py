"""PeerAuthentication, AuthorizationPolicy, RequestAuthentication: who may call.

Source: Istio's CustomResourceDefinitions, version v1; every field that they know is here.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from linnet.objects.parts import Part

_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
ApiGroup = Annotated[str, Meta(max_length=253, pattern=f"^$|^{_DNS_LABEL}(\\.{_DNS_LABEL})*$")]
KindName = Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]
MatchLabels = Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=4096)]
ServiceAccounts = Annotated[tuple[Annotated[str, Meta(max_length=320)], ...], Meta(max_length=16)]
Text = Annotated[str, Meta(min_length=1)]


class Mtls(Part, frozen=True):
    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] | None = None


class Selector(Part, frozen=True):
    match_labels: MatchLabels | None = None


class PeerAuthenticationSpec(Part, frozen=True):
    mtls: Mtls | None = None
    port_level_mtls: dict[str, Mtls] | None = None
    selector: Selector | None = None


class Provider(Part, frozen=True):
    name: str | None = None


class Source(Part, frozen=True):
    ip_blocks: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    not_remote_ip_blocks: tuple[str, ...] = ()
    not_request_principals: tuple[str, ...] = ()
    not_service_accounts: Annotated[
        tuple[Annotated[str, Meta(max_length=320)], ...], Meta(max_length=16)
    ] = ()
    not_trust_domains: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    remote_ip_blocks: tuple[str, ...] = ()
    request_principals: tuple[str, ...] = ()
    service_accounts: ServiceAccounts = ()
    trust_domains: tuple[str, ...] = ()


class RuleFrom(Part, frozen=True):
    source: Source | None = None


class Operation(Part, frozen=True):
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


class RuleTo(Part, frozen=True):
    operation: Operation | None = None


class Condition(Part, frozen=True):
    key: str
    not_values: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


class Rule(Part, frozen=True):
    from_: Annotated[tuple[RuleFrom, ...], Meta(max_length=512)] = field(name="from", default=())
    to: tuple[RuleTo, ...] = ()
    when: tuple[Condition, ...] = ()


class TargetRef(Part, frozen=True):
    kind: KindName
    name: Annotated[str, Meta(min_length=1, max_length=253)]
    group: ApiGroup | None = None
    namespace: str | None = None


class AuthorizationPolicySpec(Part, frozen=True):
    action: Literal["ALLOW", "DENY", "AUDIT", "CUSTOM"] | None = None
    provider: Provider | None = None
    rules: Annotated[tuple[Rule, ...], Meta(max_length=512)] = ()
    selector: Selector | None = None
    target_ref: TargetRef | None = None
    target_refs: Annotated[tuple[TargetRef, ...], Meta(max_length=16)] = ()


class FromHeaders(Part, frozen=True):
    name: Text
    prefix: str | None = None


class OutputClaimToHeaders(Part, frozen=True):
    claim: Text
    header: Annotated[str, Meta(min_length=1, pattern="^[-_A-Za-z0-9]+$")]


class JwtRule(Part, frozen=True):
    audiences: tuple[Text, ...] = ()
    forward_original_token: bool | None = None
    from_cookies: tuple[Text, ...] = ()
    from_headers: tuple[FromHeaders, ...] = ()
    from_params: tuple[Text, ...] = ()
    issuer: Text | None = None
    jwks: str | None = None
    old_jwks_uri: Uri | None = field(name="jwks_uri", default=None)
    jwks_uri: Uri | None = None
    output_claim_to_headers: tuple[OutputClaimToHeaders, ...] = ()
    output_payload_to_header: str | None = None
    presence: Literal["OPTIONAL", "REQUIRED"] | None = None
    space_delimited_claims: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    timeout: str | None = None


class RequestAuthenticationSpec(Part, frozen=True):
    jwt_rules: Annotated[tuple[JwtRule, ...], Meta(max_length=4096)] = ()
    selector: Selector | None = None
    target_ref: TargetRef | None = None
    target_refs: Annotated[tuple[TargetRef, ...], Meta(max_length=16)] = ()
