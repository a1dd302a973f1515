"""EndpointSlices and Endpoints of a Service, from its pods (pure).

Source: Kubernetes, EndpointSlice controller; conditions always list ready, serving, terminating.
"""

from typing import Any

from linnet.local.controllers.owners import deleting, reference
from linnet.local.controllers.replicas import finished, ready

Object = dict[str, Any]
MAX_ENDPOINTS = 100  # per slice
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
Ports = tuple[tuple[str, str, int, str], ...]  # name, protocol, number, appProtocol


def _numbers(service: Object, pod: Object) -> Ports:
    """The service's ports as this pod has them; a named target port that the pod lacks is left out."""
    result = []
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        protocol = port.get("protocol", "TCP")
        number = target if isinstance(target, int) else _named(pod, target, protocol)
        if number:
            result.append((port.get("name", ""), protocol, number, port.get("appProtocol", "")))
    return tuple(result)


def _named(pod: Object, name: str, protocol: str) -> int:
    if name.isdigit():
        return int(name)
    for container in [*pod["spec"].get("containers", ()), *pod["spec"].get("initContainers", ())]:
        for port in container.get("ports") or ():
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return 0


def _endpoint(service: Object, pod: Object) -> Object:
    serving = ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))
    terminating = deleting(pod)
    endpoint: Object = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": serving and (not terminating or bool(service["spec"].get("publishNotReadyAddresses"))),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": _target(pod),
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint


def _target(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}


def _backing(pods: list[Object]) -> list[Object]:
    with_address = [pod for pod in pods if (pod.get("status") or {}).get("podIP") and not finished(pod)]
    return sorted(
        with_address, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"])
    )


def endpoint_slices(service: Object, pods: list[Object]) -> list[Object]:
    """The slices of a service, unnamed: one, or more where named ports differ or beyond 100 pods."""
    groups: dict[Ports, list[Object]] = {}
    for pod in _backing(pods):
        groups.setdefault(_numbers(service, pod), []).append(_endpoint(service, pod))
    if not groups:
        return [_slice(service, None, [])]
    return [
        _slice(service, ports, endpoints[start : start + MAX_ENDPOINTS])
        for ports, endpoints in sorted(groups.items())
        for start in range(0, len(endpoints), MAX_ENDPOINTS)
    ]


def _slice(service: Object, ports: Ports | None, endpoints: list[Object]) -> Object:
    meta = service["metadata"]
    labels = dict(meta.get("labels") or {}) | {SERVICE_NAME: meta["name"], MANAGED_BY: MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": meta["name"] + "-",
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": None if ports is None else [_port(port) for port in ports],
    }


def _port(port: tuple[str, str, int, str]) -> Object:
    name, protocol, number, app = port
    return {"name": name, "protocol": protocol, "port": number} | ({"appProtocol": app} if app else {})


def endpoints_object(service: Object, pods: list[Object]) -> Object:
    """The older Endpoints object of a service: pods on their way out are not in it."""
    meta = service["metadata"]
    subsets: dict[Ports, dict[str, list[Object]]] = {}
    for pod in _backing(pods):
        if deleting(pod):
            continue
        ports = _numbers(service, pod)
        side = "addresses" if _endpoint(service, pod)["conditions"]["ready"] else "notReadyAddresses"
        address: Object = {"ip": pod["status"]["podIP"], "targetRef": _target(pod)}
        if pod["spec"].get("nodeName"):
            address["nodeName"] = pod["spec"]["nodeName"]
        subsets.setdefault(ports, {}).setdefault(side, []).append(address)
    labels = dict(meta.get("labels") or {}) | {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    result: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "labels": labels},
    }
    if subsets:
        result["subsets"] = [
            {side: sorted(found, key=lambda a: str(a["ip"])) for side, found in sides.items()}
            | ({"ports": [_legacy_port(port) for port in ports]} if ports else {})
            for ports, sides in sorted(subsets.items())
        ]
    return result


def _legacy_port(port: tuple[str, str, int, str]) -> Object:
    name, protocol, number, _ = port
    return ({"name": name} if name else {}) | {"port": number, "protocol": protocol}
