"""The values that pods and pod templates get when the user leaves them out.

Every function changes the object that it is given.
Source: Kubernetes 1.35, `pkg/apis/core/v1/defaults.go`, observed behaviour.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_MODE = 0o644
_TOKEN_SECONDS = 3600
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def fill(obj: Json, **values: Any) -> None:
    """Set what is missing (or null)."""
    for name, value in values.items():
        if obj.get(name) is None:
            obj[name] = value


def pod(obj: Json) -> None:
    """A Pod."""
    spec = obj.setdefault("spec", {})
    fill(spec, enableServiceLinks=True)
    pod_spec(spec)
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            resources = container["resources"]
            if limits := resources.get("limits"):
                resources["requests"] = {**limits, **(resources.get("requests") or {})}
    for condition in (obj.get("status") or {}).get("conditions") or ():
        condition.setdefault("lastProbeTime", None)  # never left out, as Kubernetes writes it


def template(spec: Json) -> None:
    """The pod template in a workload's spec."""
    found = spec.get("template")
    if found is None:
        found = spec["template"] = {}
    fill(found, metadata={}, spec={})
    pod_spec(found["spec"])


def pod_spec(spec: Json) -> None:
    """What pods and templates share."""
    fill(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    fill(spec, terminationGracePeriodSeconds=30, securityContext={})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for name in _CONTAINER_LISTS:
        for container in spec.get(name) or ():
            _container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _container(container: Json, *, host_network: bool) -> None:
    fill(container, resources={})
    fill(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    fill(container, imagePullPolicy=_pull_policy(container.get("image") or ""))
    for port in container.get("ports") or ():
        fill(port, protocol="TCP")
        if host_network and "containerPort" in port:
            fill(port, hostPort=port["containerPort"])
    for name in _PROBES:
        if probe := container.get(name):
            _probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http_get(hook.get("httpGet"))
    for variable in container.get("env") or ():
        _field_ref((variable.get("valueFrom") or {}).get("fieldRef"))


def _pull_policy(image: str) -> str:
    """`Always` for the tag latest, given or implied."""
    name = image.rsplit("/", 1)[-1]
    if "@" in name:
        return "IfNotPresent"
    _, _, tag = name.partition(":")
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _probe(probe: Json) -> None:
    fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http_get(probe.get("httpGet"))
    if grpc := probe.get("grpc"):
        fill(grpc, service="")


def _http_get(action: Json | None) -> None:
    if action is not None:
        fill(action, path="/", scheme="HTTP")


def _field_ref(ref: Json | None) -> None:
    if ref is not None:
        fill(ref, apiVersion="v1")


def _volume(volume: Json) -> None:
    if not any(value is not None for name, value in volume.items() if name != "name"):
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if (source := volume.get(kind)) is not None:
            fill(source, defaultMode=_MODE)
    if (path := volume.get("hostPath")) is not None:
        fill(path, type="")
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        if token := source.get("serviceAccountToken"):
            fill(token, expirationSeconds=_TOKEN_SECONDS)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _field_ref(item.get("fieldRef"))
