"""The objects of a gateway: one set with fixed names; its label `istio.io/rev` tells who serves it (pure).

Source: Istio, charts of the ingress and egress gateways. Unlike there, no rollout makes a pod unavailable.
"""

import json
from collections.abc import Mapping
from typing import Any

from linnet.install.grace import DRAIN_PATH, in_time
from linnet.install.marks import COMPONENT, REV, Object, labels, made
from linnet.install.overlays import overlaid
from linnet.install.pilot import scaler
from linnet.install.plane import INGRESS, GatewaySpec, Plane
from linnet.install.tree import overlay

RECORD = "linnet.io/gateway"  # annotation of the Deployment: what was asked for, for whoever serves it next
_RBAC = "rbac.authorization.k8s.io/v1"
_INGRESS_PORTS = (("status-port", 15021, 15021), ("http2", 80, 8080), ("https", 443, 8443))


def objects(plane: Plane, gateway: GatewaySpec) -> list[Object]:
    """Everything of one gateway, in the order of application."""
    found = [*_roles(plane, gateway), deployment(plane, gateway)]
    least, most = int(gateway.values.get("autoscaleMin", 1)), int(gateway.values.get("autoscaleMax", 5))
    least = int((gateway.k8s.get("hpaSpec") or {}).get("minReplicas") or least)
    most = int((gateway.k8s.get("hpaSpec") or {}).get("maxReplicas") or most)
    if gateway.values.get("autoscaleEnabled", True):
        asked = gateway.k8s.get("hpaSpec") or {}
        bounds = (least, most, 80)
        found.append(scaler(gateway.name, marked(plane, gateway), gateway.namespace, bounds, asked))
    budget = gateway.k8s.get("podDisruptionBudget")
    if budget or max(least, int(gateway.k8s.get("replicaCount") or 1)) > 1:
        spec = {"selector": {"matchLabels": dict(gateway.labels)}} | (budget or {"minAvailable": 1})
        found.append(_made("policy/v1", "PodDisruptionBudget", gateway.name, plane, gateway, spec=spec))
    found.append(service(plane, gateway))
    settled = overlaid(found, gateway.k8s, f"{gateway.component} {gateway.name}: k8s")
    return [in_time(obj) if obj["kind"] == "Deployment" else obj for obj in settled]


def marked(plane: Plane, gateway: GatewaySpec) -> dict[str, str]:
    """The labels of a gateway's objects. They are shared: no revision takes them along when it goes."""
    return labels(plane, gateway.component, gateway.labels, shared=True)


def _made(api_version: str, kind: str, name: str, plane: Plane, gateway: GatewaySpec, **body: Any) -> Object:
    return made(api_version, kind, name, marked(plane, gateway), namespace=gateway.namespace, **body)


def _account(gateway: GatewaySpec) -> str:
    return f"{gateway.name}-service-account"


def _roles(plane: Plane, gateway: GatewaySpec) -> list[Object]:
    name = f"{gateway.name}-sds"
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}]
    subject = {"kind": "ServiceAccount", "name": _account(gateway), "namespace": gateway.namespace}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    return [
        _made("v1", "ServiceAccount", _account(gateway), plane, gateway),
        _made(_RBAC, "Role", name, plane, gateway, rules=rules),
        _made(_RBAC, "RoleBinding", name, plane, gateway, roleRef=ref, subjects=[subject]),
    ]


def service(plane: Plane, gateway: GatewaySpec) -> Object:
    """The gateway's Service; it keeps its address through every change of revision."""
    ingress = gateway.component == INGRESS
    ports = _INGRESS_PORTS if ingress else _INGRESS_PORTS[1:]
    spec: Object = {
        "type": gateway.values.get("type") or ("LoadBalancer" if ingress else "ClusterIP"),
        "selector": dict(gateway.labels),
        "ports": gateway.values.get("ports")
        or [
            {"name": name, "port": port, "targetPort": target, "protocol": "TCP"}
            for name, port, target in ports
        ],
    }
    asked = gateway.k8s.get("service") or {}
    spec = overlay({k: v for k, v in spec.items() if k != "ports" or not asked.get("ports")}, asked)
    obj = _made("v1", "Service", gateway.name, plane, gateway, spec=spec)
    if annotations := gateway.k8s.get("serviceAnnotations") or gateway.values.get("serviceAnnotations"):
        obj["metadata"]["annotations"] = annotations
    return obj


def deployment(plane: Plane, gateway: GatewaySpec) -> Object:
    """The gateway's Deployment. The selector has no revision, so a change of revision is a rolling update."""
    k8s = gateway.k8s
    gentle = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    pod: Object = {
        "serviceAccountName": _account(gateway),
        "securityContext": k8s.get("securityContext")
        or {"fsGroup": 1337, "runAsGroup": 1337, "runAsNonRoot": True, "runAsUser": 1337},
        "containers": [_container(plane, gateway)],
        "volumes": [*_volumes(plane, gateway), *(k8s.get("volumes") or ())],
    }
    for field in ("affinity", "nodeSelector", "priorityClassName", "tolerations"):
        if k8s.get(field):
            pod[field] = k8s[field]
    if (grace := gateway.values.get("terminationGracePeriodSeconds")) is not None:
        pod["terminationGracePeriodSeconds"] = grace
    spec: Object = {
        "selector": {"matchLabels": dict(gateway.labels)},
        "strategy": k8s.get("strategy") or gentle,
        "template": {"metadata": _pod_metadata(plane, gateway), "spec": pod},
    }
    if k8s.get("replicaCount"):
        spec["replicas"] = int(k8s["replicaCount"])
    made_here = _made("apps/v1", "Deployment", gateway.name, plane, gateway, spec=spec)
    made_here["metadata"]["annotations"] = {RECORD: record(gateway)}
    return made_here


def record(gateway: GatewaySpec) -> str:
    """What was asked for this gateway, as text from which any revision can render it."""
    asked = {"component": gateway.component, "labels": gateway.labels}
    asked |= {"k8s": gateway.k8s, "values": gateway.values}
    return json.dumps(asked, sort_keys=True)


def described(name: str, namespace: str, text: str) -> GatewaySpec | None:
    """The gateway that a record describes; None: somebody else wrote the Deployment."""
    try:
        asked = json.loads(text) if text else None
        return asked and GatewaySpec(name=name, namespace=namespace, **asked)
    except (json.JSONDecodeError, TypeError):
        return None


def _pod_metadata(plane: Plane, gateway: GatewaySpec) -> Object:
    return {
        "labels": {
            **gateway.labels,
            "install.operator.istio.io/owning-resource": plane.owner,
            REV: plane.revision_name,
            COMPONENT: gateway.component,
            "service.istio.io/canonical-name": gateway.name,
            "service.istio.io/canonical-revision": plane.revision or "latest",
            "sidecar.istio.io/inject": "false",
        },
        "annotations": {
            REV: plane.revision_name,
            "prometheus.io/path": "/stats/prometheus",
            "prometheus.io/port": "15020",
            "prometheus.io/scrape": "true",
            "sidecar.istio.io/inject": "false",
            **(gateway.k8s.get("podAnnotations") or {}),
        },
    }


def _container(plane: Plane, gateway: GatewaySpec) -> Object:
    ports = [port.get("targetPort", port["port"]) for port in service(plane, gateway)["spec"]["ports"]]
    numbers = [port for port in ports if isinstance(port, int)]
    component, level = plane.value("global.proxy.componentLogLevel", "misc:error"), "default:info"
    container: Object = {
        "name": "istio-proxy",
        "image": plane.image(str(plane.value("global.proxy.image", "proxyv2"))),
        "args": [
            "proxy",
            "router",
            "--domain",
            f"$(POD_NAMESPACE).svc.{plane.cluster_domain}",
            f"--proxyLogLevel={plane.value('global.proxy.logLevel', 'warning')}",
            f"--proxyComponentLogLevel={component}",
            f"--log_output_level={plane.value('global.logging.level', level)}",
        ],
        "ports": [
            *({"containerPort": number, "protocol": "TCP"} for number in numbers),
            {"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"},
        ],
        "env": _environment(plane, gateway),
        "readinessProbe": gateway.k8s.get("readinessProbe")
        or {
            "httpGet": {"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"},
            "initialDelaySeconds": 1,
            "periodSeconds": 2,
            "timeoutSeconds": 1,
            "successThreshold": 1,
            "failureThreshold": 30,
        },
        "lifecycle": {"preStop": {"httpGet": {"path": DRAIN_PATH, "port": 15020}}},
        "resources": gateway.k8s.get("resources")
        or gateway.values.get("resources")
        or {
            "limits": {"cpu": "2000m", "memory": "1024Mi"},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [*_mounts(gateway), *(gateway.k8s.get("volumeMounts") or ())],
    }
    if policy := gateway.k8s.get("imagePullPolicy") or plane.value("global.imagePullPolicy"):
        container["imagePullPolicy"] = policy
    return container


def _field(path: str) -> Object:
    return {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}


def _environment(plane: Plane, gateway: GatewaySpec) -> list[Object]:
    owner = f"kubernetes://apis/apps/v1/namespaces/{gateway.namespace}/deployments/{gateway.name}"
    settled: Mapping[str, Any] = {
        "PILOT_CERT_PROVIDER": "istiod",
        "CA_ADDR": plane.value("global.caAddress") or plane.discovery_address,
        "NODE_NAME": _field("spec.nodeName"),
        "POD_NAME": _field("metadata.name"),
        "POD_NAMESPACE": _field("metadata.namespace"),
        "INSTANCE_IP": _field("status.podIP"),
        "HOST_IP": _field("status.hostIP"),
        "SERVICE_ACCOUNT": _field("spec.serviceAccountName"),
        "ISTIO_CPU_LIMIT": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}},
        "ISTIO_META_WORKLOAD_NAME": gateway.name,
        "ISTIO_META_OWNER": owner,
        "ISTIO_META_MESH_ID": str(plane.value("global.meshID") or plane.mesh()["trustDomain"]),
        "TRUST_DOMAIN": plane.mesh()["trustDomain"],
        "ISTIO_META_UNPRIVILEGED_POD": "true",
        "ISTIO_META_CLUSTER_ID": str(plane.value("global.multiCluster.clusterName") or "Kubernetes"),
        "ISTIO_META_NODE_NAME": _field("spec.nodeName"),
    }
    if gateway.namespace != plane.namespace:  # the ConfigMap with the mesh's configuration is not there
        config = json.dumps(plane.mesh()["defaultConfig"], sort_keys=True)
        settled = {**settled, "PROXY_CONFIG": config}
    if network := plane.value("global.network"):
        settled = {**settled, "ISTIO_META_NETWORK": str(network)}
    env: list[Object] = [
        {"name": key, "valueFrom": value} if isinstance(value, dict) else {"name": key, "value": value}
        for key, value in settled.items()
    ]
    users = [*({"name": k, "value": str(v)} for k, v in (gateway.values.get("env") or {}).items())]
    merged: list[Object] = overlay(env, [*users, *(gateway.k8s.get("env") or [])])
    return merged if users or gateway.k8s.get("env") else env


def _volumes(plane: Plane, gateway: GatewaySpec) -> list[Object]:
    token = {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}
    info = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
    ]
    return [
        {"name": "workload-socket", "emptyDir": {}},
        {"name": "credential-socket", "emptyDir": {}},
        {"name": "workload-certs", "emptyDir": {}},
        {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
        {"name": "podinfo", "downwardAPI": {"items": info}},
        {"name": "istio-envoy", "emptyDir": {}},
        {"name": "istio-data", "emptyDir": {}},
        {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "config-volume", "configMap": {"name": plane.named("istio"), "optional": True}},
        *(
            {"name": name.removeprefix("istio-"), "secret": {"secretName": name, "optional": True}}
            for name in (f"{gateway.name}-certs", f"{gateway.name}-ca-certs")
        ),
    ]


def _mounts(gateway: GatewaySpec) -> list[Object]:
    short = gateway.name.removeprefix("istio-")
    return [
        {"name": "workload-socket", "mountPath": "/var/run/secrets/workload-spiffe-uds"},
        {"name": "credential-socket", "mountPath": "/var/run/secrets/credential-uds"},
        {"name": "workload-certs", "mountPath": "/var/run/secrets/workload-spiffe-credentials"},
        {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
        {"name": "config-volume", "mountPath": "/etc/istio/config"},
        {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio"},
        {"name": "istio-token", "mountPath": "/var/run/secrets/tokens", "readOnly": True},
        {"name": "istio-data", "mountPath": "/var/lib/istio/data"},
        {"name": "podinfo", "mountPath": "/etc/istio/pod"},
        *(
            {"name": f"{short}-{kind}", "mountPath": f"/etc/istio/{short}-{kind}", "readOnly": True}
            for kind in ("certs", "ca-certs")
        ),
    ]
