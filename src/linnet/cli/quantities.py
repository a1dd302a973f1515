"""CPU and memory of a cluster: what nodes have, what pods ask for, what is left (pure)."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

Object = Mapping[str, Any]
_UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_UNITS |= {f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGTP", 1)}


class Amount(Struct, frozen=True):
    """CPU in cores, memory in bytes."""

    cpu: float = 0.0
    memory: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.cpu + other.cpu, self.memory + other.memory)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.cpu - other.cpu, self.memory - other.memory)

    def __bool__(self) -> bool:
        return self.cpu > 0 or self.memory > 0


def quantity(text: object) -> float:
    """The number that a Kubernetes quantity means (`500m`, `2Gi`); 0 for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", str(text))
    return float(found[1]) * _UNITS.get(found[2], 0.0) if found else 0.0


def amount(resources: Mapping[str, Any]) -> Amount:
    """CPU and memory of a mapping of quantities."""
    return Amount(quantity(resources.get("cpu", 0)), quantity(resources.get("memory", 0)))


def requests(containers: Iterable[Object]) -> Amount:
    """What containers ask for together."""
    asked = (amount((container.get("resources") or {}).get("requests") or {}) for container in containers)
    return sum(asked, Amount())


def free(nodes: Iterable[Object], pods: Iterable[Object]) -> dict[str, Amount]:
    """What is left of each node that takes pods, by name."""
    left = {
        node["metadata"]["name"]: amount((node.get("status") or {}).get("allocatable") or {})
        for node in nodes
        if not (node.get("spec") or {}).get("unschedulable")
    }
    for pod in pods:
        name = (pod.get("spec") or {}).get("nodeName", "")
        if name in left and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            left[name] -= requests(pod["spec"].get("containers") or ())
    return left


def shown(value: Amount) -> str:
    """`500m CPU and 2048Mi memory`."""
    return f"{max(0, round(1000 * value.cpu))}m CPU and {max(0, round(value.memory / 2**20))}Mi memory"
