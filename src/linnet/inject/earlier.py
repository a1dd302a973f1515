"""A pod without what an earlier injection added, so that injecting twice is injecting once (pure)."""

import json
from collections.abc import Mapping
from typing import Any

from linnet.inject import annotations as notes
from linnet.inject import prometheus
from linnet.inject.annotations import InjectionError
from linnet.inject.context import DRAIN_PATH, PROXY
from linnet.inject.probes import restored

_FIELDS = ("initContainers", "containers", "volumes", "imagePullSecrets")

Object = dict[str, Any]


def stripped(pod: Mapping[str, Any]) -> Object:
    """The user's pod: a copy whose `metadata` and `spec` may be changed at their first level."""
    metadata, spec = dict(pod.get("metadata") or {}), dict(pod.get("spec") or {})
    annotated = dict(metadata.get("annotations") or {})
    if notes.STATUS not in annotated:
        return {**pod, "metadata": metadata, "spec": spec}
    status = _json(annotated.pop(notes.STATUS), notes.STATUS)
    overrides = _json(annotated.pop(notes.OVERRIDES, "{}"), notes.OVERRIDES)
    told = _environment(spec)
    originals = _json(told.get("ISTIO_KUBE_APP_PROBERS", "{}"), "ISTIO_KUBE_APP_PROBERS")
    for field in _FIELDS:
        gone = set(status.get(field) or ())
        kept = [item for item in spec.get(field) or () if item["name"] not in gone]
        kept = [*overrides.get(field, ()), *kept]
        if field in ("containers", "initContainers"):
            kept = [_without_hook(restored(container, originals)) for container in kept]
        if kept:
            spec[field] = kept
        else:
            spec.pop(field, None)
    metadata["annotations"] = prometheus.restored(annotated, told.get(prometheus.ENV, ""))
    return {**pod, "metadata": metadata, "spec": spec}


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text) or {}
    except json.JSONDecodeError as error:
        raise InjectionError(f"annotation {where}: not valid JSON: {error}") from error


def _environment(spec: Mapping[str, Any]) -> dict[str, str]:
    proxy: Mapping[str, Any] = next((c for c in spec.get("containers") or () if c["name"] == PROXY), {})
    return {entry["name"]: entry.get("value", "") for entry in proxy.get("env") or ()}


def _without_hook(container: Object) -> Object:
    """Without the drain hook: it is added again, or not, as the annotation says now."""
    lifecycle = container.get("lifecycle") or {}
    path = ((lifecycle.get("preStop") or {}).get("httpGet") or {}).get("path", "")
    if container["name"] == PROXY or path.partition("?")[0] != DRAIN_PATH:
        return container
    kept = {key: value for key, value in lifecycle.items() if key != "preStop"}
    result = {key: value for key, value in container.items() if key != "lifecycle"}
    return result | {"lifecycle": kept} if kept else result
