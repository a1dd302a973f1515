"""The endpoints that Envoy balances over, from `/clusters?format=json`, as rows (pure)."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

HEADER = ("ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER")


class Endpoint(Struct, frozen=True):
    """One host of one cluster."""

    address: str
    status: str
    outlier: str
    cluster: str

    @property
    def row(self) -> tuple[str, ...]:
        """A line of the table."""
        return self.address, self.status, self.outlier, self.cluster


class Filter(Struct, frozen=True):
    """Which endpoints; what is empty or zero does not limit."""

    address: str = ""
    port: int = 0
    cluster: str = ""
    status: str = ""


def select(document: Mapping[str, Any], wanted: Filter) -> list[Endpoint]:
    """The endpoints that the filter lets through, by cluster and address."""
    found = (endpoint for endpoint in _endpoints(document) if _matches(endpoint, wanted))
    return sorted(found, key=lambda endpoint: (endpoint.cluster, endpoint.address))


def _endpoints(document: Mapping[str, Any]) -> Iterator[Endpoint]:
    for cluster in document.get("cluster_statuses") or ():
        for host in cluster.get("host_statuses") or ():
            health = host.get("health_status") or {}
            yield Endpoint(
                address=_address(host.get("address") or {}),
                status=str(health.get("eds_health_status") or "HEALTHY"),
                outlier="FAILED" if health.get("failed_outlier_check") else "OK",
                cluster=str(cluster.get("name", "")),
            )


def _address(address: Mapping[str, Any]) -> str:
    if pipe := address.get("pipe"):
        return f"unix://{pipe.get('path')}"
    socket = address.get("socket_address") or {}
    host, port = str(socket.get("address", "")), socket.get("port_value", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _matches(endpoint: Endpoint, wanted: Filter) -> bool:
    host, _, port = endpoint.address.rpartition(":")
    return (
        (not wanted.address or host.strip("[]") == wanted.address)
        and (not wanted.port or port == str(wanted.port))
        and (not wanted.cluster or endpoint.cluster == wanted.cluster)
        and (not wanted.status or endpoint.status == wanted.status.upper())
    )
