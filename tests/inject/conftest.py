"""Injection configurations as an installation renders them, and pods to inject."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from linnet.inject.configuration import Configuration, parse
from linnet.install.operator import resolve
from linnet.install.pilot import injection_config, mesh_config

Object = dict[str, Any]
POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "generateName": "echo-5b7c-",
        "labels": {"app": "echo", "pod-template-hash": "5b7c"},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "echo-5b7c", "controller": True}
        ],
    },
    "spec": {
        "serviceAccountName": "echo",
        "containers": [
            {
                "name": "main",
                "image": "linnet/echo",
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 3},
                "livenessProbe": {"tcpSocket": {"port": 8080}, "timeoutSeconds": 2},
                "startupProbe": {"exec": {"command": ["true"]}},
            }
        ],
        "initContainers": [{"name": "migrate", "image": "linnet/echo"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    },
}


@pytest.fixture
def configuration() -> Callable[..., Configuration]:
    """The configuration of a revision, with further `--set`s."""

    def make(revision: str = "canary", *sets: str) -> Configuration:
        plane = resolve([], [f"revision={revision}", *sets], version="9.9.9").plane
        return parse(
            injection_config(plane)["data"],
            mesh_config(plane)["data"]["mesh"],
            revision=plane.revision_name,
            namespace=plane.namespace,
        )

    return make


@pytest.fixture
def pod() -> Callable[..., Object]:
    """An ordinary pod of a Deployment, with annotations, labels, and other fields of its spec."""

    def make(
        annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None, **spec: Any
    ) -> Object:
        made = copy.deepcopy(POD)
        made["metadata"]["labels"] |= labels or {}
        if annotations:
            made["metadata"]["annotations"] = annotations
        made["spec"] |= spec
        return made

    return make
