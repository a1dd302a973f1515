"""What the proxies of a workload see of the mesh."""

from collections.abc import Iterable

from msgspec import Struct

from linnet.model.service import Labels

Sight = tuple[tuple[str, str], ...]
"""(namespace or `*`, host or pattern) pairs of what may be called; `.` is the proxy's own namespace."""
EVERYTHING = ("*", "*")


class Sidecar(Struct, frozen=True, cache_hash=True):
    """Narrows the sight of the proxies that `selector` selects; None: of all in the namespace.

    What is not said is None: everything is seen, and the mesh decides about other hosts.
    """

    namespace: str
    name: str
    created: str
    selector: Labels | None = None
    egress: Sight | None = None
    allow_any: bool | None = None

    def sight_from(self, namespace: str) -> Sight | None:
        """What a proxy of a namespace sees; None: everything."""
        if self.egress is None:
            return None
        found = {(namespace if home == "." else home, host) for home, host in self.egress}
        return None if EVERYTHING in found else tuple(sorted(found))


def sees(sight: Iterable[tuple[str, str]], namespace: str, host: str) -> bool:
    """Whether a host of a namespace, perhaps itself a pattern, is in sight."""
    return any(home in {"*", namespace} and _meet(pattern, host) for home, pattern in sight)


def _meet(one: str, other: str) -> bool:
    """Whether two hosts, either of which may be `*` or `*.suffix`, have a name in common."""
    if one.startswith("*") and other.startswith("*"):
        return one.endswith(other[1:]) or other.endswith(one[1:])
    if one.startswith("*"):
        return other.endswith(one[1:])
    return one.endswith(other[1:]) if other.startswith("*") else one == other
