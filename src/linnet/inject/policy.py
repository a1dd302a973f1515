"""Whether a pod that reached the webhook gets a proxy (pure). The first rule that decides wins.

Source: Istio, injection policy.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from linnet.inject.configuration import Configuration
from linnet.kube.selectors import matches

INJECT = "sidecar.istio.io/inject"
_WITHOUT_EFFECT = {
    "sidecar.istio.io/nativeSidecar": "the proxy is an ordinary container",
    "sidecar.istio.io/enableCoreDump": "core dumps are the node's business",
    "sidecar.istio.io/controlPlaneAuthPolicy": "control planes always authenticate",
}
UNTOUCHED = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})


class Decision(Struct, frozen=True):
    """Whether to inject, why, and what the user should know."""

    inject: bool
    reason: str
    warnings: tuple[str, ...] = ()


def never_injected(pod: Mapping[str, Any], namespace: str) -> str:
    """Why no configuration could have this pod injected; empty: one could."""
    spec = pod.get("spec") or {}
    if spec.get("hostNetwork"):
        return "the pod uses the host's network"
    if _is_windows(spec):
        return "the pod is for Windows, which the proxy is not"
    return f"namespace {namespace} is never injected" if namespace in UNTOUCHED else ""


def decide(pod: Mapping[str, Any], namespace: str, configuration: Configuration) -> Decision:
    """The decision for a pod in a namespace."""
    spec, metadata = pod.get("spec") or {}, pod.get("metadata") or {}
    labels = metadata.get("labels") or {}
    if reason := never_injected(pod, namespace):
        return Decision(False, reason)
    warnings = (*_dns_warnings(spec), *_unhonoured(metadata.get("annotations") or {}))
    asked = labels.get(INJECT) or (metadata.get("annotations") or {}).get(INJECT) or ""
    if asked in ("true", "false"):
        return Decision(asked == "true", f"{INJECT} is {asked}", warnings)
    if asked:
        warnings = (*warnings, f"{INJECT}: {asked!r} is neither true nor false and decides nothing")
    if any(_selects(selector, labels) for selector in configuration.never):
        return Decision(False, "neverInjectSelector matches", warnings)
    if any(_selects(selector, labels) for selector in configuration.always):
        return Decision(True, "alwaysInjectSelector matches", warnings)
    return Decision(configuration.policy == "enabled", f"policy is {configuration.policy}", warnings)


def _is_windows(spec: Mapping[str, Any]) -> bool:
    """Whether a pod says that it runs on Windows. Kubernetes refuses it when it has the proxy's settings."""
    named = (spec.get("os") or {}).get("name")
    return (named or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")) == "windows"


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector that selects by something matches; an empty one is ignored here."""
    return any(selector.get(key) for key in ("matchLabels", "matchExpressions")) and matches(selector, labels)


def _unhonoured(annotated: Mapping[str, str]) -> tuple[str, ...]:
    """Annotations of Istio that are accepted without effect."""
    return tuple(
        f"annotation {key}: {why}; it has no effect"
        for key, why in _WITHOUT_EFFECT.items()
        if annotated.get(key) not in (None, "", "false")
    )


def _dns_warnings(spec: Mapping[str, Any]) -> tuple[str, ...]:
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst":
        return ()
    return (f"dnsPolicy {policy}: the proxy finds its control plane by cluster DNS and needs ClusterFirst",)
