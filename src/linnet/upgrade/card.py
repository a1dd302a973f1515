"""What is known of a revision while it works: its proxies, its istiods' counts, its traffic (pure)."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from linnet.upgrade.revisions import Revision
from linnet.upgrade.signals import Counted, Signals


class Standing(StrEnum):
    """What a connected proxy made of what it was sent."""

    SYNCED = "in sync"
    STALE = "stale"  # an answer is due
    SILENT = "not acknowledged"  # the same answer was due at both readings
    REJECTING = "rejecting"


class Rejection(Struct, frozen=True):
    """What a proxy does not accept; `resource` may be empty."""

    kind: str
    resource: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.resource}: {self.reason}" if self.resource else f"{self.kind}: {self.reason}"
        )


class Proxy(Struct, frozen=True):
    """A connected proxy, `POD.NAMESPACE`."""

    name: str
    gateway: bool
    standing: Standing
    rejections: tuple[Rejection, ...] = ()


class Traffic(Struct, frozen=True):
    """What the proxies of a revision answered between two readings, `seconds` apart."""

    seconds: float
    asked: int  # proxies; fewer than are connected: a sample
    counting: int  # of them those that count requests
    faults: tuple[str, ...]  # of those that could not be read
    workloads: Mapping[str, Signals]  # NAME.NAMESPACE of a workload -> its proxies'
    worst: tuple[str, float, float] = ("", 0.0, 0.0)  # the proxy with most failures, these, of how many

    @property
    def total(self) -> Signals:
        """All together."""
        return together(self.workloads.values())


class Card(Struct, frozen=True):
    """What is known of one revision. `proxies` and `counted` are None where no istiod told them."""

    revision: Revision
    proxies: tuple[Proxy, ...] | None
    counted: Counted | None
    grown: Counted  # what came between the readings
    traffic: Traffic
    lost: tuple[str, ...] = ()  # ready pods that it injected and that are connected to nobody
    namespace: str = "istio-system"  # of its istiods

    @property
    def istiods(self) -> str:
        """The flags with which kubectl finds its istiods."""
        return f"-n {self.namespace} -l app=istiod,istio.io/rev={self.revision.name}"

    def standing(self, standing: Standing) -> list[Proxy]:
        """The proxies that stand so."""
        return [proxy for proxy in self.proxies or () if proxy.standing is standing]


def together(signals: Iterable[Signals]) -> Signals:
    """Their sum."""
    whole = Signals()
    for one in signals:
        whole = whole.plus(one)
    return whole
