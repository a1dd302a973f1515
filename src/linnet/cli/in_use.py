"""Who would lose their control plane, in lines for people (pure)."""

from collections import Counter
from collections.abc import Iterator, Sequence

from linnet.upgrade.users import Observed, User, users

LISTED = 30  # names that are shown
_PROXIES = frozenset({"pod", "proxy"})


def lines(revision: str, found: Sequence[User]) -> list[str]:
    """The users of a revision: how many proxies, who they are if they are few, then all else."""
    proxies = [user for user in found if user.kind in _PROXIES]
    others = [user for user in found if user.kind not in _PROXIES]
    told = []
    if proxies:
        told.append(
            f"There are still {len(proxies)} proxies pointing to the control plane revision {revision}"
        )
    told += _listed(proxies) if len(proxies) <= LISTED else _counted(proxies)
    told += _listed(others[:LISTED])
    if len(others) > LISTED:
        told.append(f"  … and {len(others) - LISTED} more")
    return told


def of_mesh(observed: Observed, revisions: Sequence[str]) -> list[str]:
    """The users of all revisions. Webhooks and tags are none: they go with the mesh."""
    told: list[str] = []
    for revision in revisions:
        found = users(observed, revision, default_moves=True)
        told += lines(revision, [user for user in found if user.kind not in ("tag", "webhook")])
    return told


def _listed(found: Sequence[User]) -> Iterator[str]:
    return (f"  {user.kind} {user.name}: {user.why}" for user in found)


def _counted(proxies: Sequence[User]) -> Iterator[str]:
    """Too many for names: how many in which namespace."""
    spaces = Counter(user.name.rpartition(".")[2] for user in proxies)
    return (f"  {count} in namespace {space}" for space, count in sorted(spaces.items()))
