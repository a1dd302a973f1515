"""What the mesh does with a pod, from the objects around it (pure).

Source: Istio, `istioctl experimental describe pod`: what is said, and in which words.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.cli.check_inject import verdicts
from linnet.upgrade.injection import labels_of
from linnet.upgrade.users import revision_of_pod

Object = Mapping[str, Any]
RULE = "-" * 20


class Around(Struct, frozen=True):
    """The objects that bear on a pod. `root`: the namespace whose policies hold for the whole mesh."""

    namespace: Object
    hooks: Sequence[Object] = ()  # MutatingWebhookConfigurations
    services: Sequence[Object] = ()  # of the pod's namespace, as are the rest but for those of `root`
    policies: Sequence[Object] = ()  # PeerAuthentication, RequestAuthentication, AuthorizationPolicy
    istiods: tuple[str, ...] = ()  # those that the pod's proxy is connected to
    root: str = "istio-system"


def document(pod: Object, around: Around) -> dict[str, Any]:
    """Everything that is said, as data."""
    found = verdicts(around.hooks, labels_of(around.namespace), labels_of(pod))
    injecting = [row for row in found if row[2] == "✔"]
    status = pod.get("status") or {}
    ready = {entry["name"]: bool(entry.get("ready")) for entry in status.get("containerStatuses") or ()}
    ready |= {entry["name"]: bool(entry.get("ready")) for entry in status.get("initContainerStatuses") or ()}
    return {
        "pod": f"{pod['metadata']['name']}.{pod['metadata']['namespace']}",
        "revision": revision_of_pod(pod),
        "proxyReady": ready.get("istio-proxy", False),
        "istiods": list(around.istiods),
        "nextRevision": injecting[0][1] if injecting else "",
        "injectors": [{"webhook": row[0], "revision": row[1], "reason": row[3]} for row in injecting],
        "ports": [
            {"port": port["containerPort"], "container": container["name"]}
            for container in _containers(pod)
            for port in container.get("ports") or ()
        ],
        "services": [_service(service) for service in around.services if _selects(service, pod)],
        "mtls": mtls_mode(pod, around),
        "policies": [
            f"{policy['kind']} {policy['metadata']['name']}.{policy['metadata']['namespace']}"
            for policy in around.policies
            if _applies(policy, pod, around.root)
        ],
    }


def mtls_mode(pod: Object, around: Around) -> str:
    """The mode of the PeerAuthentication that decides: of the pod, else its namespace, else the mesh."""
    found: dict[int, list[Object]] = {}
    for policy in around.policies:
        mode = ((policy.get("spec") or {}).get("mtls") or {}).get("mode", "UNSET")
        if policy["kind"] == "PeerAuthentication" and mode != "UNSET" and _applies(policy, pod, around.root):
            own = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
            found.setdefault(2 if _selector(policy) and own else 1 if own else 0, []).append(policy)
    if not found:
        return "PERMISSIVE"
    oldest = min(found[max(found)], key=lambda policy: str(policy["metadata"].get("creationTimestamp", "")))
    return str(oldest["spec"]["mtls"]["mode"])


def lines(held: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    ports = ", ".join(f"{port['port']} ({port['container']})" for port in held["ports"]) or "none"
    told = [f"Pod: {held['pod']}"]
    told.append(f"   Pod Revision: {held['revision']}" if held["revision"] else "   Pod has no proxy")
    told.append(f"   Pod Ports: {ports}")
    if held["revision"]:
        told.append(f"   Proxy: {_proxy(held)}")
    told += [
        f"   Next pod gets revision {injector['revision']} ({injector['webhook']}: {injector['reason']})"
        for injector in held["injectors"]
    ]
    if not held["injectors"]:
        told.append("   Next pod gets no proxy")
    if len(held["injectors"]) > 1:
        told.append("WARNING: several webhooks would inject it")
    if held["revision"] and held["nextRevision"] != held["revision"]:
        told.append("WARNING: it changes its revision when it restarts")
    for service in held["services"]:
        told += [RULE, f"Service: {service['name']}"]
        told += [
            f"   Port: {port['name']} {port['port']}/{port['protocol']} targets pod port {port['target']}"
            for port in service["ports"]
        ]
    if not held["services"]:
        told.append("Warning: no Kubernetes Services select pod")
    told += [RULE, "Effective PeerAuthentication:", f"   Workload mTLS mode: {held['mtls']}"]
    if held["policies"]:
        told += ["Policies:", *(f"   {name}" for name in held["policies"])]
    return told


def _proxy(held: Mapping[str, Any]) -> str:
    ready = "ready" if held["proxyReady"] else "not ready"
    return f"{ready}, connected to {', '.join(held['istiods']) or 'no istiod'}"


def _containers(pod: Object) -> Iterable[Object]:
    spec = pod.get("spec") or {}
    return (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))


def _selects(service: Object, pod: Object) -> bool:
    wanted = (service.get("spec") or {}).get("selector") or {}
    return bool(wanted) and wanted.items() <= labels_of(pod).items()


def _service(service: Object) -> dict[str, Any]:
    meta, spec = service["metadata"], service["spec"]
    return {
        "name": f"{meta['name']}.{meta['namespace']}",
        "ports": [
            {
                "name": port.get("name", ""),
                "port": port["port"],
                "protocol": protocol(port),
                "target": port.get("targetPort", port["port"]),
            }
            for port in spec.get("ports") or ()
        ],
    }


def protocol(port: Mapping[str, Any]) -> str:
    """The protocol that a port's `appProtocol` or name says, in capitals; `auto` where neither does."""
    said = port.get("appProtocol") or port.get("name", "").partition("-")[0]
    known = ("http", "http2", "https", "grpc", "grpc-web", "tcp", "tls", "udp", "mongo", "mysql", "redis")
    return said.upper() if said in known else "UDP" if port.get("protocol") == "UDP" else "auto"


def _selector(policy: Object) -> Mapping[str, str]:
    found = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    assert isinstance(found, Mapping)
    return found


def _applies(policy: Object, pod: Object, root: str) -> bool:
    where = policy["metadata"]["namespace"]
    if where not in (root, pod["metadata"]["namespace"]):
        return False
    return _selector(policy).items() <= labels_of(pod).items()
