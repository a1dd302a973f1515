"""The annotations by which a pod tunes its proxy; a bad value refuses the pod and says why (pure).

Source: Istio, annotations of injection.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

STATUS_PORT = "status.sidecar.istio.io/port"
TEMPLATES = "inject.istio.io/templates"
PROXY_CONFIG = "proxy.istio.io/config"
OVERRIDES = "proxy.istio.io/overrides"
STATUS = "sidecar.istio.io/status"
MODE = "sidecar.istio.io/interceptionMode"
DRAIN = "linnet.io/drain"  # ours: "false" leaves preStop hooks alone
_TRAFFIC = "traffic.sidecar.istio.io/"
_READINESS = "readiness.status.sidecar.istio.io/"


class InjectionError(ValueError):
    """A pod that cannot be injected; the message names annotation, value and what is allowed."""


def _boolean(value: str) -> bool:
    return value in ("true", "false")


def _number(value: str) -> bool:
    return value.isascii() and value.isdecimal()


def _port(value: str) -> bool:
    return _number(value) and int(value) <= 65535


def _ports(value: str) -> bool:
    return all(_port(part.strip()) for part in value.split(",") if part.strip())


def _ports_or_all(value: str) -> bool:
    return value == "*" or _ports(value)


def _cidr(value: str) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def _cidrs(value: str) -> bool:
    return all(_cidr(part.strip()) for part in value.split(",") if part.strip())


def _cidrs_or_all(value: str) -> bool:
    return value == "*" or _cidrs(value)


def _quantity(value: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?([eE]\d+|m|[kMGTPE]|[KMGTPE]i)?", value) is not None


def _mode(value: str) -> bool:
    return value in ("REDIRECT", "TPROXY", "NONE")


def _json_maps(value: str) -> bool:
    try:
        found = json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return False
    return isinstance(found, dict) and all(isinstance(entry, dict) for entry in found.values())


_CHECKS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    MODE: (_mode, "REDIRECT, TPROXY or NONE"),
    DRAIN: (_boolean, "true or false"),
    STATUS_PORT: (_port, "a port number"),
    "sidecar.istio.io/capNetBindService": (_boolean, "true or false"),
    "sidecar.istio.io/nativeSidecar": (_boolean, "true or false"),
    "sidecar.istio.io/rewriteAppHTTPProbers": (_boolean, "true or false"),
    "sidecar.istio.io/proxyCPU": (_quantity, "a quantity like 100m"),
    "sidecar.istio.io/proxyCPULimit": (_quantity, "a quantity like 2000m"),
    "sidecar.istio.io/proxyMemory": (_quantity, "a quantity like 128Mi"),
    "sidecar.istio.io/proxyMemoryLimit": (_quantity, "a quantity like 1024Mi"),
    "sidecar.istio.io/userVolume": (_json_maps, "a JSON map of volumes by name"),
    "sidecar.istio.io/userVolumeMount": (_json_maps, "a JSON map of mounts by volume name"),
    "prometheus.istio.io/merge-metrics": (_boolean, "true or false"),
    f"{_READINESS}initialDelaySeconds": (_number, "a number of seconds"),
    f"{_READINESS}periodSeconds": (_number, "a number of seconds"),
    f"{_READINESS}failureThreshold": (_number, "a number"),
    f"{_READINESS}applicationPorts": (_ports, "a list of ports"),
    f"{_TRAFFIC}includeOutboundIPRanges": (_cidrs_or_all, "a list of CIDR ranges, or *"),
    f"{_TRAFFIC}excludeOutboundIPRanges": (_cidrs, "a list of CIDR ranges"),
    f"{_TRAFFIC}includeInboundPorts": (_ports_or_all, "a list of ports, or *"),
    f"{_TRAFFIC}excludeInboundPorts": (_ports, "a list of ports"),
    f"{_TRAFFIC}includeOutboundPorts": (_ports, "a list of ports"),
    f"{_TRAFFIC}excludeOutboundPorts": (_ports, "a list of ports"),
}


def check(annotations: Mapping[str, str]) -> None:
    """Refuse values that cannot be meant.

    Raises:
        InjectionError: naming the first bad annotation.
    """
    for key, value in annotations.items():
        if key in _CHECKS and not _CHECKS[key][0](value.strip()):
            raise InjectionError(f"annotation {key}: {value!r} is not {_CHECKS[key][1]}")


def sidecar(annotations: Mapping[str, str], name: str) -> str:
    """The annotation `sidecar.istio.io/NAME`, or empty."""
    return annotations.get(f"sidecar.istio.io/{name}", "").strip()


def traffic(annotations: Mapping[str, str], name: str, default: Any) -> str:
    """The annotation `traffic.sidecar.istio.io/NAME`, or the default. An empty annotation counts."""
    value = annotations.get(_TRAFFIC + name)
    return str(default or "") if value is None else value.strip()


def readiness(annotations: Mapping[str, str], name: str, default: int) -> int:
    """The annotation `readiness.status.sidecar.istio.io/NAME` as a number, or the default."""
    return int(annotations.get(_READINESS + name, default))
