"""RequestAuthentication: which tokens are believed, checked so that Envoy takes every issuer.

What cannot be evaluated denies (law L4): the tokens of an issuer whose keys cannot be had are refused.
Source: Istio, RequestAuthentication.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from linnet.ingest import values
from linnet.ingest.decode import Item, spec_of
from linnet.ingest.report import Report
from linnet.model.tokens import Issuer, RequestAuthentication
from linnet.objects.security import JwtRule, RequestAuthenticationSpec

TIMEOUT = 5.0  # seconds to fetch keys; Source: Istio
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_URL = re.compile(
    rf"https?://(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?:/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*)?"
)
_CURVES = {"P-256": 32, "P-384": 48, "P-521": 66}
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "oct": ("HS256", "HS384", "HS512"),
    "OKP": ("EdDSA",),
}


def request_authentication(held: Item, report: Report) -> RequestAuthentication | None:
    """What an object says; rules that are wrong are left out. None if it says nothing for workloads."""
    spec = spec_of(held, RequestAuthenticationSpec, report)
    if spec is None:
        return None
    if spec.target_ref is not None or spec.target_refs:
        report.not_honoured("spec.targetRef" if spec.target_ref is not None else "spec.targetRefs")
        return None
    found = (_issuer(rule, f"spec.jwtRules[{n}]", report) for n, rule in enumerate(spec.jwt_rules))
    selector = frozenset((spec.selector.match_labels or {}).items()) if spec.selector else frozenset()
    issuers = tuple(one for one in found if one is not None)
    return RequestAuthentication(held.namespace, held.name, held.created, selector or None, issuers)


def _issuer(rule: JwtRule, path: str, report: Report) -> Issuer | None:
    if not rule.issuer:
        report.invalid(f"{path}.issuer", "is needed: the rule is left out")
        return None
    headers = [(one.name, one.prefix or "") for one in rule.from_headers]
    if any(not values.is_header_value(prefix) for _, prefix in headers):
        report.invalid(f"{path}.fromHeaders", "has a prefix that no header can have: that part is left out")
        headers = [pair for pair in headers if values.is_header_value(pair[1])]
    claims = [(one.claim, one.header) for one in rule.output_claim_to_headers]
    payload = rule.output_payload_to_header or ""
    for name in (*(name for name, _ in headers), *(header for _, header in claims), *filter(None, [payload])):
        if not values.is_header_name(name):
            report.invalid(path, f"{name!r} is not the name of a header: that part is left out")
    timeout = values.seconds(rule.timeout) if rule.timeout else None
    if rule.timeout and not timeout:
        report.invalid(f"{path}.timeout", "is not a duration")
    held = Issuer(
        name=rule.issuer,
        audiences=rule.audiences,
        timeout=timeout or TIMEOUT,
        headers=tuple((name, prefix) for name, prefix in headers if values.is_header_name(name)),
        parameters=rule.from_params,
        cookies=rule.from_cookies,
        forward=bool(rule.forward_original_token),
        payload_header=payload if values.is_header_name(payload) else "",
        claim_headers=tuple(pair for pair in claims if values.is_header_name(pair[1])),
        lists=rule.space_delimited_claims,
        required=rule.presence == "REQUIRED",
    )
    return _with_keys(held, rule, path, report)


def _with_keys(held: Issuer, rule: JwtRule, path: str, report: Report) -> Issuer:
    refused = "so that its tokens are refused"
    if rule.jwks:
        keys = usable_keys(rule.jwks)
        if not keys:
            report.invalid(f"{path}.jwks", f"holds no key that can be used, {refused}")
        return replace(held, keys=keys)
    uri = rule.jwks_uri or rule.old_jwks_uri or ""
    if not uri:
        report.invalid(path, f"has neither jwks nor jwksUri, and discovery has no effect yet, {refused}")
        return held
    if not _is_address_of_keys(uri):
        report.invalid(f"{path}.jwksUri", f"{uri!r} is not an http or https URL, {refused}")
        return held
    return replace(held, uri=uri)


def _is_address_of_keys(uri: str) -> bool:
    """Whether it is a URL that Envoy takes, too."""
    found = _URL.fullmatch(uri)
    return found is not None and (found["port"] is None or values.is_port(int(found["port"])))


def usable_keys(text: str) -> str:
    """The JWK set with those of its keys that Envoy reads; empty if there is none, which Envoy refuses."""
    try:
        held = json.loads(text)
    except json.JSONDecodeError:
        return ""
    keys = held.get("keys") if isinstance(held, dict) else None
    good = [key for key in keys if isinstance(key, dict) and _usable(key)] if isinstance(keys, list) else []
    return json.dumps({"keys": good}, sort_keys=True) if good else ""


def _usable(key: Mapping[str, Any]) -> bool:
    kind, algorithm = str(key.get("kty")), key.get("alg")
    if kind not in _ALGORITHMS or (algorithm is not None and algorithm not in _ALGORITHMS[kind]):
        return False
    if any(not isinstance(key.get(name, ""), str) for name in ("kid", "use")):
        return False
    try:
        parts = {name: _bytes(key[name]) for name in ("n", "e", "x", "y", "k") if name in key}
    except (binascii.Error, ValueError, TypeError):
        return False
    match kind:
        case "RSA":
            return len(parts.get("n", b"")) >= 128 and bool(parts.get("e"))
        case "EC":
            return _on_curve(str(key.get("crv")), parts.get("x", b""), parts.get("y", b""))
        case "OKP":
            return key.get("crv") == "Ed25519" and len(parts.get("x", b"")) == 32
        case _:
            return bool(parts.get("k"))


def _on_curve(curve: str, x: bytes, y: bytes) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec

    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    if curve not in curves or not 0 < len(x) <= _CURVES[curve] or not 0 < len(y) <= _CURVES[curve]:
        return False
    try:
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curves[curve])
        numbers.public_key()
    except ValueError:
        return False
    return True


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
