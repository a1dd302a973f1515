"""Pods for tests."""

from typing import Any

from linnet.local.node.spec import Pod, decode

UID = "6f6b1b7e-0000-4000-8000-000000000001"


def pod_object(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A pod as the API gives it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p1", "namespace": "ns", "uid": UID, "generation": 1, **metadata},
        "spec": {"containers": [{"name": "main", "image": "linnet/host"}], **(spec or {})},
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def pod(spec: dict[str, Any] | None = None, **metadata: Any) -> Pod:
    """The same, decoded."""
    return decode(pod_object(spec, **metadata))
