"""What the kubelet reads of a pod: the API object decoded into values; what it does not read is not here.

Source: Kubernetes API reference, Pod v1.
"""

from typing import Any

import msgspec
from msgspec import Struct

from linnet.local.node.container_spec import Container, Security
from linnet.local.node.volume_spec import Volume

Object = dict[str, Any]
GRACE = 30  # seconds, when a pod names none


class HostAlias(Struct, frozen=True):
    """Extra names of an address."""

    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(Struct, frozen=True):
    """An option of resolv.conf."""

    name: str = ""
    value: str | None = None


class DnsConfig(Struct, frozen=True):
    """What a pod adds to its resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class Gate(Struct, frozen=True, rename="camel"):
    """A condition that others set and the pod waits for."""

    condition_type: str


class Ephemeral(Struct, frozen=True, rename="camel"):
    """A container that was added to a running pod."""

    name: str
    image: str = ""


class PodSpec(Struct, frozen=True, rename="camel"):
    """The specification of a pod."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Ephemeral, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_name: str = ""
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = GRACE
    service_account_name: str = "default"
    hostname: str = ""
    subdomain: str = ""
    host_network: bool = False
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig = DnsConfig()
    host_aliases: tuple[HostAlias, ...] = ()
    enable_service_links: bool = True
    security_context: Security = Security()
    readiness_gates: tuple[Gate, ...] = ()


class Meta(Struct, frozen=True, rename="camel"):
    """The metadata of a pod."""

    name: str
    uid: str
    namespace: str = "default"
    generation: int = 1
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None


class Pod(Struct, frozen=True):
    """A pod as the kubelet sees it; `raw` is the object itself."""

    metadata: Meta
    spec: PodSpec
    raw: Object

    @property
    def label(self) -> str:
        """`name_namespace(uid)`, as the kubelet writes it in its messages."""
        return f"{self.metadata.name}_{self.metadata.namespace}({self.metadata.uid})"

    @property
    def terminating(self) -> bool:
        """Whether it was asked to go."""
        return bool(self.metadata.deletion_timestamp)

    @property
    def grace(self) -> int:
        """Seconds between the wish to end it and the kill."""
        asked = self.metadata.deletion_grace_period_seconds
        return self.spec.termination_grace_period_seconds if asked is None else asked


def decode(obj: Object) -> Pod:
    """The pod of an API object. Raises msgspec.ValidationError with the path of what is wrong."""
    spec = _without_nulls(obj.get("spec", {}))
    return Pod(
        msgspec.convert(_without_nulls(obj["metadata"]), Meta),
        msgspec.convert(spec, PodSpec, strict=False),
        obj,
    )


def _without_nulls(value: Any) -> Any:
    """The same without null fields: in the API null means absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
