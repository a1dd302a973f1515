"""Pods become workloads: what endpoints and inbound configuration need to know of them."""

from collections.abc import Mapping

from msgspec import Struct

from linnet.ingest.names import spiffe
from linnet.model.service import Labels
from linnet.objects.core import Pod

TLS_MODE = "security.istio.io/tlsMode"
_LOCALITY = "topology.istio.io/locality"


class Workload(Struct, frozen=True, cache_hash=True):
    """A pod. `ports` are its named container ports, `identity` is Istio's workload metadata of endpoints."""

    namespace: str
    name: str
    address: str
    labels: Labels
    principal: str
    meshed: bool
    locality: str
    identity: str
    hostname: str
    ports: tuple[tuple[str, int], ...]

    def port(self, target: str, number: int) -> int | None:
        """The number of a Service's target port in this pod; None for a name that it does not have."""
        if not target:
            return number
        return int(target) if target.isdecimal() else dict(self.ports).get(target)


def workload(pod: Pod, trust_domain: str, cluster: str) -> Workload:
    """What the mesh knows of a pod."""
    meta, spec = pod.metadata, pod.spec
    labels = meta.labels or {}
    containers = [*spec.containers, *(c for c in spec.init_containers or () if c.restart_policy == "Always")]
    return Workload(
        namespace=meta.namespace,
        name=meta.name,
        address=pod.status.pod_ip or "",
        labels=frozenset(labels.items()),
        principal=spiffe(trust_domain, meta.namespace, spec.service_account_name or "default"),
        meshed=labels.get(TLS_MODE) == "istio",
        locality=_locality(labels),
        identity=_identity(pod, labels, cluster),
        hostname=spec.hostname or "",
        ports=tuple((p.name, p.container_port) for c in containers for p in c.ports or () if p.name),
    )


def _locality(labels: Mapping[str, str]) -> str:
    """Region, zone and subzone, joined by slashes."""
    return labels.get(_LOCALITY) or labels.get("istio-locality", "").replace(".", "/")


def _identity(pod: Pod, labels: Mapping[str, str], cluster: str) -> str:
    """``workload;namespace;canonical name;canonical revision;cluster``.

    Source: Istio, endpoint metadata `istio.workload`; the revision `latest` is written as empty.
    """
    name = _workload_name(pod, labels)
    service = labels.get("service.istio.io/canonical-name") or labels.get("app.kubernetes.io/name")
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("app.kubernetes.io/version")
    service = service or labels.get("app") or name
    revision = revision or labels.get("version") or ""
    return f"{name};{pod.metadata.namespace};{service};{'' if revision == 'latest' else revision};{cluster}"


def _workload_name(pod: Pod, labels: Mapping[str, str]) -> str:
    """The Deployment behind a ReplicaSet, another owner, or the pod itself."""
    for owner in pod.metadata.owner_references or ():
        if owner.controller is False:
            continue
        template = labels.get("pod-template-hash", "")
        if owner.kind == "ReplicaSet" and template and owner.name.endswith(f"-{template}"):
            return owner.name.removesuffix(f"-{template}")
        return owner.name
    return pod.metadata.name
