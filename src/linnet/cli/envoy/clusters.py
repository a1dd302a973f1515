"""Envoy's clusters as rows (pure)."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from linnet.cli.envoy import dump as sections
from linnet.cli.envoy.dump import Json

HEADER = ("SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE")


class Filter(Struct, frozen=True):
    """Which clusters; what is empty or zero does not limit."""

    fqdn: str = ""
    port: int = 0
    subset: str = ""
    direction: str = ""


def select(dump: Mapping[str, Any], wanted: Filter) -> list[Json]:
    """The clusters that the filter lets through, by service, port and subset."""
    found = [cluster for cluster in sections.clusters(dump) if _matches(cluster, wanted)]
    return sorted(found, key=lambda cluster: _order(str(cluster.get("name", ""))))


def rows(found: list[Json]) -> list[tuple[str, ...]]:
    """A line of the table per cluster."""
    return [_row(cluster) for cluster in found]


def parts(name: str) -> tuple[str, str, str, str]:
    """Direction, port, subset and host of `outbound|80|v1|host`; other names are a host."""
    match name.split("|"):
        case [direction, port, subset, host]:
            return direction, port, subset, host
        case _:
            return "", "", "", name


def _order(name: str) -> tuple[str, int, str, str]:
    direction, port, subset, host = parts(name)
    return host, int(port) if port.isdigit() else 0, subset, direction


def _matches(cluster: Json, wanted: Filter) -> bool:
    direction, port, subset, host = parts(str(cluster.get("name", "")))
    return (
        (not wanted.fqdn or wanted.fqdn in host)
        and (not wanted.port or port == str(wanted.port))
        and (not wanted.subset or subset == wanted.subset)
        and (not wanted.direction or direction == wanted.direction.lower())
    )


def _row(cluster: Json) -> tuple[str, ...]:
    direction, port, subset, host = parts(str(cluster.get("name", "")))
    kind = cluster.get("type") or (cluster.get("cluster_type") or {}).get("name") or "STATIC"
    rule = sections.config_source(cluster)
    return (host, port or "-", subset or "-", direction or "-", str(kind), rule)
