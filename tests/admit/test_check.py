"""What admission refuses, and what it lets pass."""

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from linnet.admit.check import check
from linnet.admit.webhook import ReviewError, review

pytestmark = pytest.mark.unit

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"


def obj(kind: str, spec: str, group: str = NETWORKING) -> dict[str, Any]:
    """An object with a spec in YAML."""
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": "x", "namespace": "shop"},
        "spec": YAML(typ="safe", pure=True).load(spec),
    }


GOOD = [
    ("VirtualService", "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}", NETWORKING),
    (
        "VirtualService",
        """
        hosts: ["*.example.com", 10.0.0.1]
        gateways: [gw]
        http:
        - match: [{uri: {regex: "/v[0-9]+/.*"}, headers: {":method": {exact: GET}}}]
          route:
          - {destination: {host: a.shop.svc.cluster.local, subset: v1, port: {number: 80}}, weight: 90}
          - {destination: {host: b}, weight: 10}
          timeout: 1.5s
          retries: {attempts: 3, perTryTimeout: 100ms, retryOn: 5xx}
          fault: {abort: {httpStatus: 503, percentage: {value: 0.1}}}
        """,
        NETWORKING,
    ),
    ("VirtualService", "{http: [{redirect: {uri: /x, redirectCode: 302}}]}", NETWORKING),
    (
        "Sidecar",
        "{workloadSelector: {labels: {app: a}}, egress: [{hosts: ['./*', '~/*', '*/*.x.y']}]}",
        NETWORKING,
    ),
    (
        "Gateway",
        "{selector: {istio: x}, servers: [{hosts: ['*'], port: {number: 80, name: http, protocol: HTTP}}]}",
        NETWORKING,
    ),
    (
        "Gateway",
        """
        servers:
        - hosts: [./a.b]
          port: {number: 443, name: s, protocol: HTTPS}
          tls: {mode: SIMPLE, credentialName: c}
        """,
        NETWORKING,
    ),
    ("DestinationRule", "{host: a, subsets: [{name: v1, labels: {version: v1}}]}", NETWORKING),
    (
        "ServiceEntry",
        "{hosts: [a.b], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}",
        NETWORKING,
    ),
    ("PeerAuthentication", "{mtls: {mode: STRICT}}", SECURITY),
    ("AuthorizationPolicy", "{}", SECURITY),
    ("AuthorizationPolicy", "{action: DENY, rules: [{from: [{source: {namespaces: [a]}}]}]}", SECURITY),
    ("RequestAuthentication", "{jwtRules: [{issuer: a, jwksUri: 'https://a/b'}]}", SECURITY),
    ("EnvoyFilter", "{anything: {}}", "networking.istio.io/v1alpha3"),
]
BAD = [
    ("VirtualService", "{hosts: [a]}", NETWORKING, "http, tcp or tls must be provided"),
    ("VirtualService", "{gateways: [g], http: [{redirect: {uri: /}}]}", NETWORKING, "at least one host"),
    (
        "VirtualService",
        "{hosts: ['*'], http: [{redirect: {uri: /}}]}",
        NETWORKING,
        "wildcard host \\* is not allowed",
    ),
    ("VirtualService", "{hosts: [a, a], http: [{redirect: {uri: /}}]}", NETWORKING, "duplicate host 'a'"),
    ("VirtualService", "{hosts: ['a b'], http: [{redirect: {uri: /}}]}", NETWORKING, "not a valid host name"),
    (
        "VirtualService",
        "{hosts: [a], http: [{}]}",
        NETWORKING,
        "route, redirect, direct_response or delegate",
    ),
    (
        "VirtualService",
        "{hosts: [a], http: [{match: [{uri: {regex: '(?=x)'}}], route: [{destination: {host: a}}]}]}",
        NETWORKING,
        r"spec\.http\[0\]\.match\[0\]\.uri\.regex: the regular expression",
    ),
    (
        "VirtualService",
        "{hosts: [a], http: [{route: [{destination: {host: a}}, {destination: {host: b}, weight: 0}]}]}",
        NETWORKING,
        "total destination weight = 0",
    ),
    (
        "VirtualService",
        "{hosts: [a], http: [{route: [{destination: {host: a, port: {number: 70000}}}]}]}",
        NETWORKING,
        "port 70000",
    ),
    (
        "VirtualService",
        "{hosts: [a], http: [{route: [{destination: {host: a}}], timeout: soon}]}",
        NETWORKING,
        "'soon' is not a duration",
    ),
    ("VirtualService", "{hosts: a}", NETWORKING, "Expected `array`"),
    (
        "Sidecar",
        "{egress: [{hosts: [shop/*, reviews]}]}",
        NETWORKING,
        "'reviews' is not of the form",
    ),
    ("Sidecar", "{egress: [{hosts: []}]}", NETWORKING, "at least one host"),
    ("Sidecar", "{workloadSelector: {labels: {a b: c}}}", NETWORKING, "'a b' is not a valid label key"),
    ("Gateway", "{servers: []}", NETWORKING, "at least one server"),
    (
        "Gateway",
        "{servers: [{hosts: [], port: {number: 80, name: h, protocol: HTTP}}]}",
        NETWORKING,
        "at least one host",
    ),
    (
        "Gateway",
        "{servers: [{hosts: ['*'], port: {number: 80, name: h, protocol: SPDY}}]}",
        NETWORKING,
        "unknown protocol 'SPDY'",
    ),
    (
        "Gateway",
        "{servers: [{hosts: ['*'], port: {number: 443, name: h, protocol: HTTPS}}]}",
        NETWORKING,
        "must have TLS settings",
    ),
    (
        "Gateway",
        "{servers: [{hosts: ['*'], port: {number: 443, name: h, protocol: HTTPS}, tls: {mode: SIMPLE}}]}",
        NETWORKING,
        "requires a server certificate",
    ),
    ("DestinationRule", "{host: a, subsets: [{name: v1}, {name: v1}]}", NETWORKING, "duplicate subset 'v1'"),
    (
        "DestinationRule",
        "{host: a, trafficPolicy: {loadBalancer: {consistentHash: {}}}}",
        NETWORKING,
        "exactly one hash key",
    ),
    (
        "DestinationRule",
        "{host: a, trafficPolicy: {tls: {mode: MUTUAL}}}",
        NETWORKING,
        "client certificate required",
    ),
    ("ServiceEntry", "{hosts: ['*'], ports: []}", NETWORKING, "invalid host \\*"),
    (
        "ServiceEntry",
        "{hosts: [a.b], resolution: STATIC, endpoints: [{address: a.c}]}",
        NETWORKING,
        "not an IP address",
    ),
    (
        "PeerAuthentication",
        "{portLevelMtls: {'80': {mode: STRICT}}}",
        SECURITY,
        "cannot have port level mTLS",
    ),
    ("PeerAuthentication", "{mtls: {mode: MAYBE}}", SECURITY, "Invalid enum value"),
    ("AuthorizationPolicy", "{action: DENY}", SECURITY, "DENY action without rules"),
    ("AuthorizationPolicy", "{rules: [{from: [{}]}]}", SECURITY, "must have at least one field"),
    (
        "AuthorizationPolicy",
        "{rules: [{to: [{operation: {ports: [http]}}]}]}",
        SECURITY,
        "'http' is not a port",
    ),
    (
        "AuthorizationPolicy",
        "{rules: [{when: [{key: a.b, values: [x]}]}]}",
        SECURITY,
        "unknown condition key 'a.b'",
    ),
    (
        "AuthorizationPolicy",
        "{rules: [{from: [{source: {ipBlocks: [nowhere]}}]}]}",
        SECURITY,
        "neither an IP address nor a CIDR",
    ),
    ("RequestAuthentication", "{jwtRules: [{issuer: a, jwks: '{'}]}", SECURITY, "not valid JSON"),
    ("Nonsense", "{}", NETWORKING, "unrecognized type Nonsense"),
]


@pytest.mark.parametrize(("kind", "spec", "group"), GOOD)
def test_accepted(kind: str, spec: str, group: str) -> None:
    """What Istio's users write is let pass."""
    assert check(obj(kind, spec, group)) == ()


@pytest.mark.parametrize(("kind", "spec", "group", "told"), BAD)
def test_refused(kind: str, spec: str, group: str, told: str) -> None:
    """The answer says where and what."""
    request = {"uid": "u", "operation": "CREATE", "object": obj(kind, spec, group)}
    answer = review({"apiVersion": "admission.k8s.io/v1", "request": request})["response"]
    assert answer["allowed"] is False
    message = answer["status"]["message"]
    assert message.startswith("configuration is invalid: ")
    assert re.search(told, message), message


def test_unknown_top_level_field() -> None:
    """Only the fields that objects have."""
    found = check(obj("PeerAuthentication", "{}", SECURITY) | {"specs": {}})
    assert [(problem.path, problem.message) for problem in found] == [("specs", "unknown field")]


def test_the_probe_of_readiness() -> None:
    """The annotation by which istiod tests its own validator."""
    probe = obj("Gateway", "{servers: [{hosts: ['*'], port: {number: 80, name: h, protocol: HTTP}}]}")
    probe["metadata"]["annotations"] = {"internal.istio.io/webhook-always-reject": "true"}
    assert len(check(probe)) == 1


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
def test_other_operations_pass(operation: str) -> None:
    """Nothing is checked when nothing is stored."""
    request = {"uid": "u", "operation": operation, "object": obj("Nonsense", "{}")}
    answer = review({"apiVersion": "admission.k8s.io/v1beta1", "request": request})
    assert answer["response"] == {"uid": "u", "allowed": True}
    assert answer["apiVersion"] == "admission.k8s.io/v1beta1"


def test_not_a_review() -> None:
    """Anything else is the caller's error."""
    with pytest.raises(ReviewError):
        review({"kind": "Pod"})
