"""Envoy's routes as rows, one per route of a virtual host (pure)."""

from collections.abc import Iterator, Mapping
from typing import Any

from linnet.cli.envoy import dump as sections
from linnet.cli.envoy.dump import Json

HEADER = ("NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE")
_MATCHERS = (
    ("prefix", "{}*"),
    ("path", "{}"),
    ("path_separated_prefix", "{}[/*]"),
)


def select(dump: Mapping[str, Any], name: str = "") -> list[Json]:
    """The route configurations, or the one of a name, by name."""
    found = (route for route in sections.routes(dump) if name in ("", route.get("name", "")))
    return sorted(found, key=lambda route: str(route.get("name", "")))


def rows(found: list[Json]) -> list[tuple[str, ...]]:
    """A line of the table per route."""
    return [row for configuration in found for row in _rows(configuration)]


def _rows(configuration: Json) -> Iterator[tuple[str, ...]]:
    name = str(configuration.get("name", ""))
    for host in configuration.get("virtual_hosts") or ():
        domains = host.get("domains") or []
        shown = ", ".join(domains[:2]) + (f" + {len(domains) - 2} more..." if len(domains) > 2 else "")
        for route in host.get("routes") or ():
            source = sections.config_source(route)
            yield name, str(host.get("name", "")), shown, _match(route.get("match") or {}), source


def _match(match: Json) -> str:
    for key, form in _MATCHERS:
        if key in match:
            return form.format(match[key])
    regex = (match.get("safe_regex") or {}).get("regex")
    return f"regex {regex}" if regex else "-"
