"""Pods as a mesh has them: an application beside a proxy."""

from typing import Any

Json = dict[str, Any]


def pod(name: str, namespace: str) -> Json:
    """A Pod as its author (or a ReplicaSet, and injection) sends it: about 3 KB."""
    labels = {"app": "web", "version": "v1", "istio.io/rev": "1-0-0", "pod-template-hash": "5d8f7c9b6"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "15020"},
        },
        "spec": {
            "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30,
            "containers": [_container("app", 8080), _container("istio-proxy", 15020)],
            "volumes": [
                {"name": "config", "configMap": {"name": "web"}},
                {"name": "work", "emptyDir": {}},
                {"name": "about", "downwardAPI": {"items": [_about("labels"), _about("annotations")]}},
            ],
        },
    }


def _about(field: str) -> Json:
    return {"path": field, "fieldRef": {"fieldPath": f"metadata.{field}"}}


def _container(name: str, port: int) -> Json:
    env: list[Json] = [{"name": f"SETTING_{at}", "value": f"value-{at}"} for at in range(8)]
    env += [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    return {
        "name": name,
        "image": f"registry.example.test/{name}:1.0.0",
        "args": ["serve", "--port", str(port)],
        "env": env,
        "ports": [{"name": f"http-{name[:5]}", "containerPort": port}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 5},
        "securityContext": {"allowPrivilegeEscalation": False, "runAsUser": 1337},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/config", "readOnly": True},
            {"name": "work", "mountPath": "/work"},
            {"name": "about", "mountPath": "/etc/about"},
        ],
    }
