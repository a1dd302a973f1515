"""An Istio object as JSON becomes the problems for which it is refused (pure).

The API server has checked the schema of its CRD already; here is what a schema cannot say.
Source: Istio, configuration validation.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from linnet.admit import networking, security, virtual_service
from linnet.ingest.report import Report, shape_fault
from linnet.model.problem import Problem, Ref
from linnet.objects.destination_rule import DestinationRuleSpec
from linnet.objects.gateway import GatewaySpec
from linnet.objects.security import (
    AuthorizationPolicySpec,
    PeerAuthenticationSpec,
    RequestAuthenticationSpec,
)
from linnet.objects.service_entry import ServiceEntrySpec, WorkloadEntrySpec
from linnet.objects.sidecar import SidecarSpec
from linnet.objects.virtual_service import VirtualServiceSpec

REJECT = "internal.istio.io/webhook-always-reject"
_TOP = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_NETWORKING, _SECURITY = "networking.istio.io", "security.istio.io"
_CHECKS: Mapping[tuple[str, str], tuple[type[Any], Callable[[Any, Report], None]]] = {
    (_NETWORKING, "VirtualService"): (VirtualServiceSpec, virtual_service.check),
    (_NETWORKING, "Gateway"): (GatewaySpec, networking.gateway),
    (_NETWORKING, "DestinationRule"): (DestinationRuleSpec, networking.destination_rule),
    (_NETWORKING, "ServiceEntry"): (ServiceEntrySpec, networking.service_entry),
    (_NETWORKING, "WorkloadEntry"): (WorkloadEntrySpec, networking.workload_entry),
    (_NETWORKING, "Sidecar"): (SidecarSpec, networking.sidecar),
    (_SECURITY, "PeerAuthentication"): (PeerAuthenticationSpec, security.peer_authentication),
    (_SECURITY, "AuthorizationPolicy"): (AuthorizationPolicySpec, security.authorization_policy),
    (_SECURITY, "RequestAuthentication"): (RequestAuthenticationSpec, security.request_authentication),
}
_SHAPE_ONLY = frozenset(
    {
        (_NETWORKING, "EnvoyFilter"),
        (_NETWORKING, "ProxyConfig"),
        (_NETWORKING, "WorkloadGroup"),
        ("telemetry.istio.io", "Telemetry"),
        ("extensions.istio.io", "WasmPlugin"),
        ("extensions.istio.io", "TrafficExtension"),
    }
)


def check(obj: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Why an object is refused; empty: it is not."""
    group, kind = str(obj.get("apiVersion", "")).rpartition("/")[0], str(obj.get("kind", ""))
    metadata = obj.get("metadata") or {}
    report = Report(Ref(kind, metadata.get("namespace", ""), metadata.get("name", "")))
    if (metadata.get("annotations") or {}).get(REJECT) == "true":
        report.invalid("metadata.annotations", f"the annotation {REJECT} asks for a refusal")
    for field in sorted(set(obj) - _TOP):
        report.invalid(field, "unknown field")
    if (group, kind) in _CHECKS:
        _typed(obj.get("spec"), *_CHECKS[group, kind], report)
    elif (group, kind) in _SHAPE_ONLY:
        if not isinstance(obj.get("spec") or {}, Mapping):
            report.invalid("spec", "expected an object")
    else:
        report.invalid("kind", f"unrecognized type {kind} of group {group or '(none)'}")
    return tuple(report.found)


def _typed(spec: Any, kind: type[Any], inspect: Callable[[Any, Report], None], report: Report) -> None:
    try:
        typed = msgspec.convert(spec if spec is not None else {}, kind, strict=False)
    except msgspec.ValidationError as fault:
        report.invalid(*shape_fault(fault))
        return
    inspect(typed, report)
