"""The objects of one revision's istiod (pure).

Source: Istio, charts of istiod: names, labels, selectors, ports, environment, volumes.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from linnet.install import documents
from linnet.install.marks import COMPONENT, REV, Object, labels, made
from linnet.install.overlays import overlaid
from linnet.install.plane import Plane
from linnet.install.rbac import roles
from linnet.install.tree import overlay
from linnet.install.webhooks import injector, validator

PORTS: tuple[
    tuple[str, int, int], ...
] = (  # name, port, target port; in the order in which kubectl prints them
    ("grpc-xds", 15010, 15010),
    ("https-dns", 15012, 15012),
    ("https-webhook", 443, 15017),
    ("http-monitoring", 15014, 15014),
)
_COMPONENT = "Pilot"


def objects(plane: Plane, *, active: bool = True) -> list[Object]:
    """Everything of component Pilot, in the order of application; webhooks last.

    `active`: whether the plane's own injection webhook matches anything (see `webhooks.injector`).
    """
    k8s = plane.component("pilot.k8s", {})
    found = [
        *roles(plane),
        mesh_config(plane),
        injection_config(plane),
        values_record(plane),
        deployment(plane),
    ]
    if plane.value("pilot.autoscaleEnabled", True):
        found.append(autoscaler(plane))
    if _least(plane) > 1 or k8s.get("podDisruptionBudget"):
        found.append(disruption_budget(plane))
    found += [service(plane), injector(plane, active=active), validator(plane)]
    return overlaid(found, k8s, "components.pilot.k8s", revision=plane.revision)


def _marked(plane: Plane) -> dict[str, str]:
    return labels(plane, _COMPONENT, {"app": "istiod", "istio": "pilot"})


def _selector(plane: Plane) -> dict[str, str]:
    return {"app": "istiod", REV: plane.revision} if plane.revision else {"app": "istiod", "istio": "pilot"}


def _least(plane: Plane) -> int:
    if plane.value("pilot.autoscaleEnabled", True):
        return int(plane.component("pilot.k8s.hpaSpec.minReplicas") or plane.value("pilot.autoscaleMin", 1))
    return int(plane.component("pilot.k8s.replicaCount") or plane.value("pilot.replicaCount", 1))


def service(plane: Plane) -> Object:
    """The Service of a revision: 15010, 15012, 443 and 15014."""
    k8s = plane.component("pilot.k8s", {})
    spec = overlay({"ports": service_ports(), "selector": _selector(plane)}, k8s.get("service") or {})
    obj = made("v1", "Service", plane.service, _marked(plane), namespace=plane.namespace, spec=spec)
    if annotations := k8s.get("serviceAnnotations"):
        obj["metadata"]["annotations"] = dict(annotations)
    return obj


def service_ports() -> list[Object]:
    """The ports of istiod's Service."""
    return [
        {"name": name, "port": port, "targetPort": target, "protocol": "TCP"} for name, port, target in PORTS
    ]


def tag_service(plane: Plane) -> Object:
    """`istiod-revision-tag-default`: where the default tag points. It does not carry `app=istiod`."""
    from linnet.install.marks import NOT_PRUNED, TAG_LABEL
    from linnet.install.webhooks import DEFAULT_SERVICE

    marked = labels(plane, _COMPONENT, {TAG_LABEL: "default", NOT_PRUNED: "true"}, shared=True)
    return made(
        "v1",
        "Service",
        DEFAULT_SERVICE,
        marked,
        namespace=plane.namespace,
        spec={"ports": service_ports(), "selector": _selector(plane)},
    )


def mesh_config(plane: Plane) -> Object:
    """ConfigMap `istio-REV`: MeshConfig; its discovery address is what binds proxies to the revision."""
    data = {"mesh": documents.dump(plane.mesh()), "meshNetworks": "networks: {}\n"}
    return made("v1", "ConfigMap", plane.named("istio"), _marked(plane), namespace=plane.namespace, data=data)


def injection_config(plane: Plane) -> Object:
    """ConfigMap `istio-sidecar-injector-REV`: policy and templates (`config`), and their `values`."""
    inject = plane.value("sidecarInjectorWebhook", {})
    templates = {
        name: (files("linnet.install") / "templates" / f"{name}.yaml").read_text()
        for name in ("sidecar", "gateway")
    }
    config: dict[str, Any] = {
        "policy": plane.value("global.proxy.autoInject", "enabled"),
        "defaultTemplates": inject.get("defaultTemplates") or ["sidecar"],
        "alwaysInjectSelector": inject.get("alwaysInjectSelector") or [],
        "neverInjectSelector": inject.get("neverInjectSelector") or [],
        "injectedAnnotations": inject.get("injectedAnnotations") or {},
        "aliases": inject.get("aliases") or {},
        "templates": templates | dict(inject.get("templates") or {}),
    }
    data = {"config": documents.dump(config), "values": json.dumps(injection_values(plane), indent=2)}
    name = plane.named("istio-sidecar-injector")
    return made("v1", "ConfigMap", name, _marked(plane), namespace=plane.namespace, data=data)


def injection_values(plane: Plane) -> dict[str, Any]:
    """The values that injection templates and tools read, defaults included."""
    defaults: dict[str, Any] = {
        "global": {
            "hub": plane.hub,
            "tag": plane.tag,
            "imagePullPolicy": "IfNotPresent",
            "imagePullSecrets": [],
            "istioNamespace": plane.namespace,
            "logAsJson": False,
            "logging": {"level": "default:info"},
            "meshID": "",
            "multiCluster": {"clusterName": "Kubernetes"},
            "network": "",
            "caAddress": "",
            "proxy": {
                "autoInject": "enabled",
                "clusterDomain": plane.cluster_domain,
                "componentLogLevel": "misc:error",
                "excludeIPRanges": "",
                "excludeInboundPorts": "",
                "excludeOutboundPorts": "",
                "image": "proxyv2",
                "includeIPRanges": "*",
                "includeInboundPorts": "*",
                "includeOutboundPorts": "",
                "logLevel": "warning",
                "resources": {
                    "limits": {"cpu": "2000m", "memory": "1024Mi"},
                    "requests": {"cpu": "100m", "memory": "128Mi"},
                },
                "statusPort": 15020,
            },
            "proxy_init": {"image": "proxyv2"},
        },
        "sidecarInjectorWebhook": {
            "enableNamespacesByDefault": False,
            "rewriteAppHTTPProbe": True,
            "reinvocationPolicy": "Never",
        },
        "pilot": {"cni": {"enabled": False}, "env": {}},
        "gateways": {"securityContext": {}, "seccompProfile": {}},
    }
    users = {key: plane.value(key) for key in ("global", "sidecarInjectorWebhook") if plane.value(key)}
    users.get("sidecarInjectorWebhook", {}).pop("templates", None) if users else None
    users["pilot"] = {"env": plane.value("pilot.env", {})}
    merged: dict[str, Any] = overlay(defaults, users)
    merged["global"] |= {"hub": plane.hub, "tag": plane.tag}
    merged["revision"] = plane.revision
    return merged


def values_record(plane: Plane) -> Object:
    """ConfigMap `values-REV`: what was asked for; a later uninstall renders gateways from it."""
    data = {
        "original-values": json.dumps(plane.original, indent=2, sort_keys=True),
        "merged-values": json.dumps(plane.spec.get("values") or {}, indent=2, sort_keys=True),
        "operator": json.dumps(
            {"spec": plane.spec, "version": plane.version, "owner": plane.owner}, sort_keys=True
        ),
    }
    return made(
        "v1", "ConfigMap", plane.named("values"), _marked(plane), namespace=plane.namespace, data=data
    )


def recorded(config_map: Mapping[str, Any]) -> Plane | None:
    """The plane that a `values-REV` ConfigMap describes; None when another tool wrote it."""
    data = config_map.get("data") or {}
    if not data.get("operator"):
        return None
    record, original = json.loads(data["operator"]), json.loads(data.get("original-values") or "{}")
    return Plane(spec=record["spec"], version=record["version"], owner=record["owner"], original=original)


def autoscaler(plane: Plane) -> Object:
    """The HorizontalPodAutoscaler of istiod: 1 to 5 replicas at 80 % CPU."""
    asked = plane.component("pilot.k8s.hpaSpec", {})
    return scaler(plane.service, _marked(plane), plane.namespace, _scaling(plane), asked)


def _scaling(plane: Plane) -> tuple[int, int, int]:
    return (
        _least(plane),
        int(plane.component("pilot.k8s.hpaSpec.maxReplicas") or plane.value("pilot.autoscaleMax", 5)),
        int(plane.value("pilot.cpu.targetAverageUtilization", 80)),
    )


def scaler(
    name: str,
    marked: Mapping[str, str],
    namespace: str,
    bounds: tuple[int, int, int],
    asked: Mapping[str, Any],
) -> Object:
    """An autoscaler for the Deployment `name` between two replica counts at a CPU percentage.

    `asked`: fields of its spec that a user gave, which win.
    """
    least, most, percent = bounds
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
    spec: Object = {
        "minReplicas": least,
        "maxReplicas": most,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "metrics": [{"type": "Resource", "resource": metric}],
    }
    spec = overlay(spec, asked)
    return made("autoscaling/v2", "HorizontalPodAutoscaler", name, marked, namespace=namespace, spec=spec)


def disruption_budget(plane: Plane) -> Object:
    """The PodDisruptionBudget of istiod; only with more than one replica, else it would block every drain."""
    asked = plane.component("pilot.k8s.podDisruptionBudget", {"minAvailable": 1})
    spec = {"selector": {"matchLabels": _selector(plane)}} | asked
    return made(
        "policy/v1",
        "PodDisruptionBudget",
        plane.service,
        _marked(plane),
        namespace=plane.namespace,
        spec=spec,
    )


def deployment(plane: Plane) -> Object:
    """The Deployment of istiod. Its selector is immutable and has another shape with a revision."""
    k8s = plane.component("pilot.k8s", {})
    match = {"app": "istiod", REV: plane.revision} if plane.revision else {"istio": "pilot"}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}}
    spec: Object = {
        "selector": {"matchLabels": match},
        "strategy": k8s.get("strategy") or strategy,
        "template": {"metadata": _pod_metadata(plane, k8s), "spec": _pod_spec(plane, k8s)},
    }
    if not plane.value("pilot.autoscaleEnabled", True) or k8s.get("replicaCount"):
        spec["replicas"] = int(k8s.get("replicaCount") or _least(plane))
    return made("apps/v1", "Deployment", plane.service, _marked(plane), namespace=plane.namespace, spec=spec)


def _pod_metadata(plane: Plane, k8s: Mapping[str, Any]) -> Object:
    return {
        "labels": {
            "app": "istiod",
            "install.operator.istio.io/owning-resource": plane.owner,
            "istio": "istiod" if plane.revision else "pilot",
            "istio.io/dataplane-mode": "none",
            REV: plane.revision_name,
            COMPONENT: _COMPONENT,
            "sidecar.istio.io/inject": "false",
        },
        "annotations": {
            "prometheus.io/port": "15014",
            "prometheus.io/scrape": "true",
            "sidecar.istio.io/inject": "false",
            **(k8s.get("podAnnotations") or {}),
        },
    }


def _pod_spec(plane: Plane, k8s: Mapping[str, Any]) -> Object:
    spec: Object = {
        "serviceAccountName": plane.service,
        "securityContext": k8s.get("securityContext") or {"fsGroup": 1337},
        "containers": [_container(plane, k8s)],
        "volumes": [*_volumes(), *(k8s.get("volumes") or ())],
    }
    for field in ("affinity", "nodeSelector", "priorityClassName", "tolerations"):
        if k8s.get(field):
            spec[field] = k8s[field]
    if secrets := plane.value("global.imagePullSecrets"):
        spec["imagePullSecrets"] = [{"name": name} for name in secrets]
    return spec


def _container(plane: Plane, k8s: Mapping[str, Any]) -> Object:
    level = plane.value("global.logging.level", "default:info")
    ports = ((8080, "http-debug"), (15010, "grpc-xds"), (15012, "tls-xds"), (15017, "https-webhooks"))
    container: Object = {
        "name": "discovery",
        "image": plane.image(
            str(plane.value("pilot.image", "pilot")),
            hub=str(plane.component("pilot.hub") or plane.value("pilot.hub", "")),
            tag=plane.pilot_tag,
        ),
        "args": [
            "discovery",
            "--monitoringAddr=:15014",
            f"--log_output_level={level}",
            *(["--log_as_json"] if plane.value("global.logAsJson") else []),
            "--domain",
            plane.cluster_domain,
            "--keepaliveMaxServerConnectionAge",
            str(plane.value("pilot.keepaliveMaxServerConnectionAge", "30m")),
        ],
        "ports": [
            {"containerPort": number, "name": name, "protocol": "TCP"}
            for number, name in (*ports, (15014, "http-monitoring"))
        ],
        "readinessProbe": k8s.get("readinessProbe")
        or {
            "httpGet": {"path": "/ready", "port": 8080},
            "initialDelaySeconds": 1,
            "periodSeconds": 3,
            "timeoutSeconds": 5,
        },
        "env": _environment(plane, k8s),
        "resources": k8s.get("resources")
        or plane.value("pilot.resources", {"requests": {"cpu": "500m", "memory": "2048Mi"}}),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": 1337,
            "runAsNonRoot": True,
            "runAsUser": 1337,
        },
        "volumeMounts": [*_mounts(), *(k8s.get("volumeMounts") or ())],
    }
    if policy := k8s.get("imagePullPolicy") or plane.value("global.imagePullPolicy"):
        container["imagePullPolicy"] = policy
    return container


def _environment(plane: Plane, k8s: Mapping[str, Any]) -> list[Object]:
    settled: dict[str, Any] = {
        "REVISION": plane.revision_name,
        "PILOT_CERT_PROVIDER": "istiod",
        "POD_NAME": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
        "POD_NAMESPACE": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        "SERVICE_ACCOUNT": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.serviceAccountName"}},
        "KUBECONFIG": "/var/run/secrets/remote/config",
        "CA_TRUSTED_NODE_ACCOUNTS": f"{plane.namespace}/ztunnel",
        "PILOT_TRACE_SAMPLING": str(plane.value("pilot.traceSampling", 1)),
        "PILOT_ENABLE_ANALYSIS": "false",
        "CLUSTER_ID": str(plane.value("global.multiCluster.clusterName") or "Kubernetes"),
        "PLATFORM": str(plane.value("global.platform", "")),
        **{key: str(value) for key, value in (plane.value("pilot.env") or {}).items()},
    }
    env: list[Object] = [
        {"name": key, "valueFrom": value} if isinstance(value, dict) else {"name": key, "value": value}
        for key, value in settled.items()
    ]
    merged: list[Object] = overlay(env, k8s.get("env") or []) if k8s.get("env") else env
    return merged


def _volumes() -> list[Object]:
    token = {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}
    return [
        {"name": "local-certs", "emptyDir": {"medium": "Memory"}},
        {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "cacerts", "secret": {"secretName": "cacerts", "optional": True}},
        {"name": "istio-kubeconfig", "secret": {"secretName": "istio-kubeconfig", "optional": True}},
        {"name": "istio-csr-dns-cert", "secret": {"secretName": "istiod-tls", "optional": True}},
        {"name": "istio-csr-ca-configmap", "configMap": {"name": "istio-ca-root-cert", "optional": True}},
    ]


def _mounts() -> list[Object]:
    return [
        {"name": "istio-token", "mountPath": "/var/run/secrets/tokens", "readOnly": True},
        {"name": "local-certs", "mountPath": "/var/run/secrets/istio-dns"},
        {"name": "cacerts", "mountPath": "/etc/cacerts", "readOnly": True},
        {"name": "istio-kubeconfig", "mountPath": "/var/run/secrets/remote", "readOnly": True},
        {"name": "istio-csr-dns-cert", "mountPath": "/var/run/secrets/istiod/tls", "readOnly": True},
        {"name": "istio-csr-ca-configmap", "mountPath": "/var/run/secrets/istiod/ca", "readOnly": True},
    ]
