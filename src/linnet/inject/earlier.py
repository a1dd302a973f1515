"""A pod without what an earlier injection added, so that injecting twice is injecting once (pure).

What an injection notes about itself is in annotations and environment, where users can write too.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from linnet.ingest.report import shape_fault
from linnet.inject import annotations as notes
from linnet.inject import prometheus
from linnet.inject.annotations import InjectionError
from linnet.inject.context import DRAIN_PATH, PROXY
from linnet.inject.probes import restored

_PROBERS = "ISTIO_KUBE_APP_PROBERS"
_FIELDS = ("initContainers", "containers", "volumes", "imagePullSecrets")
_NAMED = ("initContainers", "containers", "volumes")

Object = dict[str, Any]


class _Status(Struct):
    """The names of what an injection added."""

    initContainers: list[str] | None = None  # noqa: N815 (Istio's name)
    containers: list[str] | None = None
    volumes: list[str] | None = None
    imagePullSecrets: list[str | None] | None = None  # noqa: N815


class _Item(Struct):
    """A container; its other fields are the API server's business."""

    name: str


class _Overrides(Struct):
    """The user's own settings of injected containers."""

    initContainers: list[_Item] | None = None  # noqa: N815
    containers: list[_Item] | None = None


def stripped(pod: Mapping[str, Any]) -> Object:
    """The user's pod: a copy whose `metadata` and `spec` may be changed at their first level.

    Raises:
        InjectionError: a container or volume has no name, or what an injection noted cannot be read.
    """
    metadata, spec = dict(pod.get("metadata") or {}), dict(pod.get("spec") or {})
    _check_names(spec)
    annotated = dict(metadata.get("annotations") or {})
    noted, own = annotated.pop(notes.STATUS, None), annotated.pop(notes.OVERRIDES, "{}")
    if noted is not None:
        annotated = _without(spec, noted, own, annotated)
    if metadata.get("annotations"):
        metadata["annotations"] = annotated
    return {**pod, "metadata": metadata, "spec": spec}


def _without(spec: Object, noted: str, own: str, annotated: Mapping[str, str]) -> dict[str, str]:
    """Take out of `spec` what was added; the annotations as they were."""
    status = _read(noted, _Status, f"annotation {notes.STATUS}")
    overrides = _read(own, _Overrides, f"annotation {notes.OVERRIDES}")
    told = _environment(spec)
    originals = _read(told.get(_PROBERS, "{}"), dict[str, dict[str, Any]], f"environment {_PROBERS}")
    scraped = told.get(prometheus.ENV, "")
    if scraped:
        _read(scraped, dict[str, str], f"environment {prometheus.ENV}")
    for field in _FIELDS:
        gone = set(status.get(field) or ())
        kept = [item for item in spec.get(field) or () if item.get("name") not in gone]
        if field in _Overrides.__struct_fields__:
            kept = [*(overrides.get(field) or ()), *kept]
            kept = [_without_hook(restored(container, originals)) for container in kept]
        if kept:
            spec[field] = kept
        else:
            spec.pop(field, None)
    return prometheus.restored(annotated, scraped)


def _check_names(spec: Mapping[str, Any]) -> None:
    """Kubernetes checks pods only after the webhooks, which find their way by names."""
    for field in _NAMED:
        items = spec.get(field) or []
        if not isinstance(items, list):
            raise InjectionError(f"spec.{field}: expected a list")
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise InjectionError(f"spec.{field}[{index}]: expected a mapping")
            if not item.get("name"):
                raise InjectionError(f"spec.{field}[{index}]: has no name")


def _read(text: str, shape: Any, where: str) -> Any:
    """The value in a JSON text, whole, if it has the shape; nothing is an empty mapping."""
    try:
        value = msgspec.json.decode(text or "null")
        if value is None:
            return {}
        msgspec.convert(value, shape)
    except msgspec.ValidationError as fault:
        path, message = shape_fault(fault)
        raise InjectionError(f"{where}{path.removeprefix('spec')}: {message}") from fault
    except (msgspec.DecodeError, RecursionError) as error:
        raise InjectionError(f"{where}: not valid JSON: {error}") from error
    return value


def _environment(spec: Mapping[str, Any]) -> dict[str, str]:
    proxy: Mapping[str, Any] = next((c for c in spec.get("containers") or () if c["name"] == PROXY), {})
    return {entry.get("name", ""): entry.get("value", "") for entry in proxy.get("env") or ()}


def _without_hook(container: Object) -> Object:
    """Without the drain hook: it is added again, or not, as the annotation says now."""
    lifecycle = container.get("lifecycle") or {}
    path = ((lifecycle.get("preStop") or {}).get("httpGet") or {}).get("path", "")
    if container["name"] == PROXY or path.partition("?")[0] != DRAIN_PATH:
        return container
    kept = {key: value for key, value in lifecycle.items() if key != "preStop"}
    result = {key: value for key, value in container.items() if key != "lifecycle"}
    return result | {"lifecycle": kept} if kept else result
