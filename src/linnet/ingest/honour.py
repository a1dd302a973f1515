"""Fields that are known and have no effect yet: each that is used is reported, none is silently ignored.

A kind that is not in the table has no effect at all.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from linnet.ingest.report import Report

_POLICY = (
    "loadBalancer.localityLbSetting",
    "loadBalancer.zoneAwareLbSetting",
    "loadBalancer.backendUtilization",
    "connectionPool.http.http2KeepAlive",
    "outlierDetection.outlierDetectionHttpErrorCodes",
    "outlierDetection.consecutiveErrors",
    "retryBudget.budgetInterval",
    "loadBalancer.consistentHash.httpCookie.attributes",
    "tls.caCrl",
    "tls.credentialName",
    "tls.clientCertificate",
    "tls.privateKey",
    "tls.caCertificates",
    "tunnel",
    "proxyProtocol",
)

NOT_HONOURED: Mapping[str, tuple[str, ...]] = {
    "VirtualService": (
        "http[].delegate",
        "http[].fault.abort.http2Error",
        "http[].fault.delay.exponentialDelay",
        "tcp[].match[].sourceSubnet",
    ),
    "DestinationRule": (
        "workloadSelector",
        *(f"trafficPolicy.{path}" for path in _POLICY),
        *(f"trafficPolicy.portLevelSettings[].{path}" for path in _POLICY),
        *(f"subsets[].trafficPolicy.{path}" for path in _POLICY),
        *(f"subsets[].trafficPolicy.portLevelSettings[].{path}" for path in _POLICY),
    ),
    "Gateway": (
        "servers[].defaultEndpoint",
        "servers[].tls.caCertificates",
        "servers[].tls.caCrl",
        "servers[].tls.ecdhCurves",
        "servers[].tls.insecureSkipVerify",
        "servers[].tls.privateKey",
        "servers[].tls.serverCertificate",
        "servers[].tls.tlsCertificates",
        "servers[].tls.verifyCertificateHash",
        "servers[].tls.verifyCertificateSpki",
    ),
    "Sidecar": (
        "egress[].bind",
        "egress[].captureMode",
        "egress[].port",
        "inboundConnectionPool",
        "ingress",
        "outboundTrafficPolicy.egressProxy",
    ),
    "ServiceEntry": ("endpoints[].network",),
    "WorkloadEntry": ("network", "weight"),
    "PeerAuthentication": (),
    "AuthorizationPolicy": (),
}
# Known to the API, without any effect yet.
WITHOUT_EFFECT = (
    "EnvoyFilter",
    "ProxyConfig",
    "Telemetry",
    "TrafficExtension",
    "WasmPlugin",
    "WorkloadGroup",
)


def report_not_honoured(kind: str, spec: Any, report: Report) -> None:
    """Report every field of a spec that is there and has no effect."""
    if kind in WITHOUT_EFFECT:
        report.not_honoured("spec")
    for pattern in NOT_HONOURED.get(kind, ()):
        for path in _present(spec, pattern.split("."), "spec"):
            report.not_honoured(path)


def _present(held: Any, steps: list[str], path: str) -> Iterator[str]:
    """The paths at which a pattern is present: ``a.b[].c``."""
    if not steps:
        yield path
        return
    step, rest = steps[0], steps[1:]
    name = step.removesuffix("[]")
    if not isinstance(held, Mapping) or held.get(name) is None:
        return
    inner = held[name]
    if not step.endswith("[]"):
        yield from _present(inner, rest, f"{path}.{name}")
    elif isinstance(inner, list):
        for number, one in enumerate(inner):
            yield from _present(one, rest, f"{path}.{name}[{number}]")
