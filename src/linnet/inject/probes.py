"""Probes and hooks of applications go through the agent, which the kubelet reaches in plain text (pure).

Source: Istio, probe rewriting: paths, and the JSON of ISTIO_KUBE_APP_PROBERS.
"""

from collections.abc import Mapping
from typing import Any

_PROBES = {"readinessProbe": "readyz", "livenessProbe": "livez", "startupProbe": "startupz"}
_HOOKS = {"preStop": "prestopz", "postStart": "poststartz"}
_HANDLERS = ("httpGet", "tcpSocket", "grpc")
_AGENTS = ("/app-health/", "/app-lifecycle/", "/drain")  # what an earlier injection pointed at the agent

Object = dict[str, Any]


def rewritten(container: Mapping[str, Any], port: int) -> tuple[Object, Object]:
    """The container with its probes pointed at the agent's port, and the originals by path."""
    result, originals = dict(container), dict[str, Any]()
    for field, short in _PROBES.items():
        path = f"/app-health/{container['name']}/{short}"
        if probe := _moved(container.get(field), container, path, port, originals):
            result[field] = probe
    lifecycle = dict(container.get("lifecycle") or {})
    for field, short in _HOOKS.items():
        path = f"/app-lifecycle/{container['name']}/{short}"
        handler = lifecycle.get(field) or {}
        if "grpc" not in handler and (hook := _moved(handler, container, path, port, originals)):
            lifecycle[field] = hook
    if lifecycle:
        result["lifecycle"] = lifecycle
    return result, originals


def restored(container: Mapping[str, Any], originals: Mapping[str, Any]) -> Object:
    """The container with the probes that an earlier injection moved put back."""
    result = dict(container)
    for field, short in _PROBES.items():
        original = originals.get(f"/app-health/{container['name']}/{short}")
        if original and container.get(field):
            result[field] = _put_back(container[field], original)
    lifecycle = dict(container.get("lifecycle") or {})
    for field, short in _HOOKS.items():
        original = originals.get(f"/app-lifecycle/{container['name']}/{short}")
        if original and lifecycle.get(field):
            lifecycle[field] = _put_back(lifecycle[field], original)
    if lifecycle:
        result["lifecycle"] = lifecycle
    return result


def _put_back(probe: Mapping[str, Any], original: Mapping[str, Any]) -> Object:
    handler = {key: original[key] for key in _HANDLERS if key in original}
    return {key: value for key, value in probe.items() if key not in _HANDLERS} | handler


def _moved(
    probe: Mapping[str, Any] | None, container: Mapping[str, Any], path: str, port: int, originals: Object
) -> Object | None:
    """The probe as an httpGet of the agent; None when it has no handler to move, or that is the agent's.

    The latter is so in a copy of an injected pod without its annotations, as `kubectl debug --copy-to` makes.
    """
    kind = next((kind for kind in _HANDLERS if (probe or {}).get(kind)), None)
    if probe is None or kind is None:
        return None
    if probe[kind].get("port") == port and str(probe[kind].get("path", "")).startswith(_AGENTS):
        return None
    original = {kind: _resolved(probe[kind], container)}
    if probe.get("timeoutSeconds"):
        original["timeoutSeconds"] = probe["timeoutSeconds"]
    originals[path] = original
    kept = {key: value for key, value in probe.items() if key not in _HANDLERS}
    return kept | {"httpGet": {"path": path, "port": port, "scheme": "HTTP"}}


def _resolved(handler: Mapping[str, Any], container: Mapping[str, Any]) -> Object:
    """The handler with a named port as its number; an unknown name stays for the kubelet to refuse."""
    port = handler.get("port")
    if not isinstance(port, str):
        return dict(handler)
    named = {entry.get("name"): entry.get("containerPort") for entry in container.get("ports") or ()}
    if port.isdecimal():
        return {**handler, "port": int(port)}
    return {**handler, "port": named.get(port, port)}
