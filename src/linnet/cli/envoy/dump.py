"""Find one's way in Envoy's `/config_dump` (pure).

Source: Envoy, `admin/v3/config_dump.proto`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def section(dump: Mapping[str, Any], kind: str) -> Json:
    """The section of a kind, `ClustersConfigDump`; empty if Envoy has none."""
    for config in dump.get("configs") or ():
        if str(config.get("@type", "")).endswith(f".{kind}"):
            return dict(config)
    return {}


def clusters(dump: Mapping[str, Any]) -> Iterator[Json]:
    """The clusters, those of the bootstrap as well."""
    held = section(dump, "ClustersConfigDump")
    for key in ("static_clusters", "dynamic_active_clusters"):
        for entry in both(held, key):
            yield entry.get("cluster") or {}


def listeners(dump: Mapping[str, Any]) -> Iterator[Json]:
    """The listeners, those of the bootstrap as well."""
    held = section(dump, "ListenersConfigDump")
    for entry in both(held, "static_listeners"):
        yield entry.get("listener") or {}
    for entry in both(held, "dynamic_listeners"):
        active = entry.get("active_state") or entry.get("activeState") or {}
        if active:
            yield active.get("listener") or {}


def routes(dump: Mapping[str, Any]) -> Iterator[Json]:
    """The route configurations, those inside listeners as well."""
    held = section(dump, "RoutesConfigDump")
    for key in ("static_route_configs", "dynamic_route_configs"):
        for entry in both(held, key):
            yield entry.get("route_config") or entry.get("routeConfig") or {}


def secrets(dump: Mapping[str, Any]) -> Iterator[tuple[Json, str]]:
    """The secrets and their state: `ACTIVE` or `WARMING`."""
    held = section(dump, "SecretsConfigDump")
    states = {
        "static_secrets": "ACTIVE",
        "dynamic_active_secrets": "ACTIVE",
        "dynamic_warming_secrets": "WARMING",
    }
    for key, state in states.items():
        for entry in both(held, key):
            yield entry, state


def both(held: Mapping[str, Any], key: str) -> list[Json]:
    """A list by its name as Envoy writes it (`snake_case`) or as protobuf's JSON does (`camelCase`)."""
    head, *rest = key.split("_")
    found = held.get(key) or held.get(head + "".join(word.title() for word in rest)) or []
    assert isinstance(found, list)
    return found


def config_source(message: Mapping[str, Any]) -> str:
    """The Istio object that a resource was made of, `name.namespace`; empty if it does not say.

    Source: Istio, metadata `istio.config`: `/apis/GROUP/VERSION/namespaces/NS/KIND/NAME`.
    """
    metadata = message.get("metadata") or {}
    filters = metadata.get("filter_metadata") or metadata.get("filterMetadata") or {}
    parts = str((filters.get("istio") or {}).get("config") or "").split("/")
    return f"{parts[-1]}.{parts[-3]}" if len(parts) >= 4 else ""
