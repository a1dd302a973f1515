"""Envoy's listeners as rows, one per filter chain (pure)."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from linnet.cli.envoy import dump as sections
from linnet.cli.envoy.dump import Json

HEADER = ("ADDRESSES", "PORT", "MATCH", "DESTINATION")


class Filter(Struct, frozen=True):
    """Which listeners; what is empty or zero does not limit."""

    address: str = ""
    port: int = 0
    kind: str = ""
    """`HTTP`, `TCP` or `HTTP+TCP`."""


def select(dump: Mapping[str, Any], wanted: Filter) -> list[Json]:
    """The listeners that the filter lets through, by port and address."""
    found = [listener for listener in sections.listeners(dump) if _matches(listener, wanted)]
    return sorted(found, key=lambda listener: (_socket(listener)[1], _socket(listener)[0]))


def rows(found: list[Json]) -> list[tuple[str, ...]]:
    """A line of the table per filter chain."""
    return [row for listener in found for row in _rows(listener)]


def _rows(listener: Json) -> Iterator[tuple[str, ...]]:
    address, port = _socket(listener)
    chains = list(listener.get("filter_chains") or ())
    if default := listener.get("default_filter_chain"):
        chains.append(default)
    for chain in chains:
        yield address, str(port), _match(chain.get("filter_chain_match") or {}), _destination(chain)


def _socket(listener: Json) -> tuple[str, int]:
    held = (listener.get("address") or {}).get("socket_address") or {}
    return str(held.get("address", "")), int(held.get("port_value") or 0)


def _filters(listener: Json) -> set[str]:
    chains = [*(listener.get("filter_chains") or ()), listener.get("default_filter_chain") or {}]
    names = (_type(f) for chain in chains for f in chain.get("filters") or ())
    return {name.rsplit(".", 1)[-1] for name in names}


def _matches(listener: Json, wanted: Filter) -> bool:
    address, port = _socket(listener)
    if (wanted.address and address != wanted.address) or (wanted.port and port != wanted.port):
        return False
    kinds = _filters(listener)
    http, tcp = "HttpConnectionManager" in kinds, "TcpProxy" in kinds
    have = "+".join(name for name, there in (("HTTP", http), ("TCP", tcp)) if there)
    return not wanted.kind or have == wanted.kind.upper()


def _type(network_filter: Json) -> str:
    return str((network_filter.get("typed_config") or {}).get("@type", ""))


def _match(match: Json) -> str:
    said = []
    if names := match.get("server_names"):
        said.append("SNI: " + ",".join(names))
    if transport := match.get("transport_protocol"):
        said.append(f"Trans: {transport}")
    if applications := match.get("application_protocols"):
        said.append("App: " + ",".join(applications))
    address = ",".join(
        f"{r.get('address_prefix')}/{r.get('prefix_len')}" for r in match.get("prefix_ranges") or ()
    )
    if address or match.get("destination_port"):
        said.append(f"Addr: {address or '*'}:{match.get('destination_port') or '*'}")
    return "; ".join(said) or "ALL"


def _destination(chain: Json) -> str:
    for network_filter in reversed(chain.get("filters") or ()):
        config = network_filter.get("typed_config") or {}
        match _type(network_filter).rsplit(".", 1)[-1]:
            case "HttpConnectionManager":
                return _http(config)
            case "TcpProxy":
                return _tcp(config)
            case _:
                continue
    return "Non-HTTP/Non-TCP"


def _http(config: Json) -> str:
    if rds := config.get("rds"):
        return f"Route: {rds.get('route_config_name')}"
    hosts = (config.get("route_config") or {}).get("virtual_hosts") or ()
    routes = (route for host in hosts for route in host.get("routes") or ())
    clusters = dict.fromkeys(str((route.get("route") or {}).get("cluster", "")) for route in routes)
    return "Inline Route: " + ", ".join(filter(None, clusters))


def _tcp(config: Json) -> str:
    if weighted := config.get("weighted_clusters"):
        return "Cluster: " + ", ".join(
            f"{c['name']} ({c.get('weight')})" for c in weighted.get("clusters") or ()
        )
    name = str(config.get("cluster", ""))
    return name if name in ("PassthroughCluster", "BlackHoleCluster") else f"Cluster: {name}"
