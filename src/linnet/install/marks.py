"""The labels by which installed objects are known: Istio's own, and ours for what outlives a revision.

Source: Istio, operator owner labels. `linnet.io/shared` is ours:
such an object is never deleted with one revision.
"""

from collections.abc import Mapping
from typing import Any

from linnet.install.plane import Plane

MANAGER = "istio-operator"  # field manager of server-side apply, as the real installer's
REV, TAG_LABEL = "istio.io/rev", "istio.io/tag"
COMPONENT = "operator.istio.io/component"
SHARED = "linnet.io/shared"
OWNER = "install.operator.istio.io/owning-resource"
NOT_PRUNED = "install.operator.istio.io/owning-resource-not-pruned"
DEACTIVATED = "istio.io/deactivated"

Object = dict[str, Any]


def labels(
    plane: Plane, component: str, more: Mapping[str, str] | None = None, *, shared: bool = False
) -> dict[str, str]:
    """The labels of an object of a component; `more` wins over nothing and adds the object's own."""
    return {
        **(more or {}),
        "app.kubernetes.io/instance": "istio",
        "app.kubernetes.io/managed-by": "Linnet",
        "app.kubernetes.io/name": (more or {}).get("app", "istio"),
        "app.kubernetes.io/part-of": "istio",
        "app.kubernetes.io/version": plane.version,
        OWNER: plane.owner,
        "install.operator.istio.io/owning-resource-namespace": plane.namespace,
        REV: plane.revision_name,
        COMPONENT: component,
        "operator.istio.io/managed": "Reconcile",
        "operator.istio.io/version": plane.version,
        "release": "istio",
        **({SHARED: "true"} if shared else {}),
    }


def made(
    api_version: str,
    kind: str,
    name: str,
    labelled: Mapping[str, str],
    *,
    namespace: str = "",
    annotations: Mapping[str, str] | None = None,
    **body: Any,
) -> Object:
    """An object with its metadata; `body` are its other top-level fields, those that are None left out."""
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["labels"] = dict(labelled)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": metadata,
        **{key: value for key, value in body.items() if value is not None},
    }
