"""What a proxy says it is, and whether that fits what it has proven and what the cluster knows (pure).

Source: Istio, node id `<type>~<ip>~<pod>.<namespace>~<domain>` and node metadata.
"""

from collections.abc import Mapping
from typing import Any

from linnet.control_plane.identity import Identity, mismatch
from linnet.model.proxy import NEWEST_ENVOY, ProxyClaim, ProxyKind
from linnet.xds.messages import Node


class BadNode(ValueError):
    """A node that is not Istio's; the message says what is wrong."""


def claim_of(node: Node) -> ProxyClaim:
    """The claim in a node.

    Raises:
        BadNode: the id is not of Istio's form, or its parts contradict the metadata.
    """
    parts = node.id.split("~")
    if len(parts) != 4 or parts[0] not in frozenset(ProxyKind):
        raise BadNode(f"node id {node.id!r} is not TYPE~IP~POD.NAMESPACE~DOMAIN with TYPE sidecar or router")
    kind, ip, name, domain = parts
    pod, _, of_name = name.rpartition(".")
    namespace = str(node.metadata.get("NAMESPACE") or of_name)
    if not pod or of_name != namespace:
        raise BadNode(f"node id {node.id!r} and metadata NAMESPACE {namespace!r} name different namespaces")
    labels = node.metadata.get("LABELS")
    return ProxyClaim(
        kind=ProxyKind(kind),
        pod=pod,
        namespace=namespace,
        service_account=str(node.metadata.get("SERVICE_ACCOUNT") or ""),
        ip=ip,
        labels=frozenset((str(k), str(v)) for k, v in labels.items())
        if isinstance(labels, Mapping)
        else frozenset(),
        envoy=_envoy(node.version),
        domain=domain,
    )


def refusal(claim: ProxyClaim, identity: Identity, pod: Mapping[str, Any] | None) -> str:
    """Why a proxy with this identity must not be served as what it claims; empty if it may.

    `pod` is the object of that name, if the cluster has one: it settles whose pod that is.
    """
    reason = mismatch(
        identity, namespace=claim.namespace, service_account=claim.service_account, pod=claim.pod
    )
    if reason or pod is None:
        return reason
    account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
    if account != identity.service_account:
        return f"pod {claim.pod}.{claim.namespace} runs as {account!r}, not as {identity.spiffe}"
    return ""


def _envoy(version: str) -> tuple[int, int]:
    """Major and minor version; one that cannot be read counts as the newest that we know."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else NEWEST_ENVOY
