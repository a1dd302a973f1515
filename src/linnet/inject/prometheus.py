"""One scrape for application and proxy: the pod's scrape annotations move to the agent (pure).

Source: Istio, Prometheus merging.
"""

import json
import re
from collections.abc import Mapping

from linnet.inject.annotations import InjectionError

ENV = "ISTIO_PROMETHEUS_ANNOTATIONS"
RESERVED = frozenset({15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090})


def moved(annotations: Mapping[str, str], port: int) -> tuple[dict[str, str], str]:
    """The annotations as Prometheus shall see them, and the agent's JSON; empty JSON: nothing was moved."""
    found = {key: name for key in annotations if (name := _field(key))}
    asked = {name: annotations[key].strip() for key, name in found.items()}
    if asked.get("scrape") == "false" or asked.get("port") == str(port):
        return dict(annotations), ""
    if asked.get("port", "").isdecimal() and int(asked["port"]) in RESERVED:
        raise InjectionError(
            f"annotation prometheus.io/port: {asked['port']} is a port of the proxy; use another one"
        )
    kept = {key: value for key, value in annotations.items() if key not in found}
    kept |= {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": "/stats/prometheus",
    }
    scrape = {name: asked[name] for name in ("scrape", "path", "port") if asked.get(name)}
    return kept, json.dumps(scrape, separators=(",", ":")) if scrape else ""


def restored(annotations: Mapping[str, str], original: str) -> dict[str, str]:
    """The annotations before an earlier injection moved them."""
    if not original:
        return dict(annotations)
    kept = {key: value for key, value in annotations.items() if not _field(key)}
    return kept | {f"prometheus.io/{name}": value for name, value in json.loads(original).items()}


def _field(key: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    return (
        name.removeprefix("prometheus_io_") if re.fullmatch("prometheus_io_(scrape|port|path)", name) else ""
    )
