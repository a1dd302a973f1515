"""Work that one istiod does for all: which locks there are, and who prevails.

The default revision takes a lock of all revisions from any other, at the next look; the one that had it hears
of that at its next renewal. Both write the same, and only differences, so that the overlap does no harm.
Source: Istio, leader election: names, kinds and priorities.
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from linnet.ca import roots
from linnet.control_plane import status
from linnet.control_plane.settings import Settings
from linnet.kube import lease
from linnet.kube.client import Client
from linnet.kube.kinds import CONFIG_MAP, LEASE, Kind
from linnet.kube.lease import Claimant
from linnet.kube.locks import Lock


class Duty(Struct, frozen=True):
    """A lock by its object, and whether all revisions share it."""

    name: str
    kind: Kind = LEASE
    shared: bool = True


ROOTS = Duty(roots.LEASE, CONFIG_MAP)
STATUS = Duty(status.LEASE)


def own_status(settings: Settings) -> Duty:
    """The lock for what concerns this revision only: its replicas share it."""
    return Duty(f"{status.LEASE}-{settings.revision}", shared=False)


async def lead(
    client: Client,
    settings: Settings,
    default: Callable[[], str],
    duty: Duty,
    work: Callable[[], Awaitable[None]],
) -> None:
    """Do `work` while we hold the lock of a duty, for ever. `default` gives the default revision now."""

    def prevails(key: str) -> bool:
        return duty.shared and default() == settings.revision != key

    claimant = Claimant(settings.pod, settings.revision, prevails)
    await lease.lead(client, Lock(settings.namespace, duty.name, duty.kind), claimant, work)
