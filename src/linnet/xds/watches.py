"""What a proxy asked for, holds and said about one type of resources."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from linnet.model.resource import Resource
from linnet.xds.offers import Point

_PIECES = (
    32  # a rejected response of so many resources is sent again one by one, a larger one in so many parts
)


class Flight(NamedTuple):
    """A response that is not yet acknowledged."""

    nonce: str
    resources: Mapping[str, Resource]
    removed: tuple[str, ...]


class Doomed(NamedTuple):
    """A resource that the proxy still holds and shall lose, since the stream's `turn`."""

    turn: int
    resource: Resource | None


@dataclass(slots=True)
class Watch:
    """What a proxy asked for, holds and said about one type."""

    type_url: str
    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    at: Point | None = None
    """The offer that was sent last; None before the first response."""
    turn: int = 0
    owed: bool = True
    """A request waits for its answer."""
    fresh: set[str] = field(default_factory=set)
    """Names that must be sent whether or not they changed."""
    held: dict[str, str] = field(default_factory=dict)
    """What the proxy brought along to its first request."""
    doomed: dict[str, Doomed] = field(default_factory=dict)
    pieces: deque[Flight] = field(default_factory=deque)
    flight: Flight | None = None
    sent: str = ""
    """Nonce of the last response."""
    acked: str = ""
    """Nonce of the last response that the proxy accepted."""
    rejected: dict[str, str] = field(default_factory=dict)
    """Resource -> Envoy's message, for what it does not accept; "" until that is narrowed down."""
    rejections: int = 0
    """How often the proxy rejected a response of this type."""
    sent_at: float = 0.0
    """When the last response went out; kept for the caller, who has the clock."""

    def wants(self, name: str) -> bool:
        """Whether the proxy subscribes to this name."""
        return self.wildcard or name in self.names

    @property
    def settled(self) -> bool:
        """The proxy has answered everything that was sent."""
        return self.at is not None and self.flight is None and not self.pieces

    @property
    def error(self) -> str:
        """Envoy's last word about what it does not accept; empty if it accepts everything."""
        return next(reversed(self.rejected.values()), "")


def split(flight: Flight) -> list[Flight]:
    """The parts of a rejected response; a single one if there is nothing left to narrow down."""
    resources = tuple(flight.resources.items())
    size = max(1, -(-len(resources) // _PIECES))
    parts = [Flight("", dict(resources[i : i + size]), ()) for i in range(0, len(resources), size)]
    if flight.removed:
        parts.append(Flight("", {}, flight.removed))
    return parts
