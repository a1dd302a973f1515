"""Whether control planes and proxies of these versions may work together (pure).

Source: Istio, upgrade and support policy: a control plane is at most one minor release ahead of its proxies
and never behind them; in place the next minor release, as a canary also the one after it.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from linnet.install.versions import Version, minors_between, parse

IN_PLACE, CANARY = 1, 2  # minor releases that one step may be
BACK = 1  # minor releases that a step back may be
NAMED = 5  # proxies that a message names


class Level(StrEnum):
    """How bad a finding is."""

    REFUSED = "refused"
    WARNING = "warning"


class Running(Struct, frozen=True, order=True):
    """A control plane that runs, as its istiod or its objects tell. `revision` as labels write it."""

    revision: str
    version: str


class Proxy(Struct, frozen=True, order=True):
    """A connected proxy (`pod.namespace`), the revision that serves it, and its version."""

    name: str
    revision: str
    version: str


class Finding(Struct, frozen=True):
    """What the policy says about an installation."""

    level: Level
    text: str


def judge(
    revision: str, version: str, planes: Iterable[Running], proxies: Sequence[Proxy]
) -> tuple[Finding, ...]:
    """What the policy says to installing `version` as `revision`; nothing: it is fine.

    In place if the revision runs already: then its proxies count too, for they get the new control plane.
    """
    new = parse(version)
    if new is None:
        return (_warn(f"version {version} is no number: whether it fits to what runs cannot be told"),)
    planes = sorted(set(planes))
    found = [_step(plane, new, in_place=plane.revision == revision) for plane in planes]
    if any(plane.revision == revision for plane in planes):
        own = [proxy for proxy in proxies if proxy.revision == revision]
        found += [_behind(own, new), _ahead(own, new)]
    return tuple(finding for finding in found if finding)


def _warn(text: str) -> Finding:
    return Finding(Level.WARNING, text)


def _refuse(text: str) -> Finding:
    return Finding(Level.REFUSED, text)


def _step(plane: Running, new: Version, *, in_place: bool) -> Finding | None:
    old = parse(plane.version)
    who = f"revision {plane.revision} runs {plane.version}"
    if old is None:
        return _warn(f"{who}, which is no number: whether {new} fits to it cannot be told")
    minors = minors_between(old, new)
    if minors is None:
        return _refuse(f"{who}: {new} is another major version, between which nothing is promised")
    most = IN_PLACE if in_place else CANARY
    if minors > most:
        way = "in place" if in_place else "beside it"
        return _refuse(
            f"{who}: {new} is {minors} minor releases ahead and at most {most} may be skipped to {way}; "
            f"install {new.major}.{old.minor + most} first"
        )
    if minors < -BACK:
        return _refuse(f"{who}: {new} is {-minors} minor releases behind it; at most {BACK} may be gone back")
    if new < old:
        return _warn(f"{who}: {new} is older" + (" (a downgrade)" if in_place else ""))
    return None


def _behind(proxies: Sequence[Proxy], new: Version) -> Finding | None:
    """Proxies that are too old for the new control plane."""
    late = [
        proxy
        for proxy in proxies
        if (old := parse(proxy.version)) and (minors_between(old, new) or 0) > IN_PLACE
    ]
    if not late:
        return None
    return _refuse(
        f"{_named(late)} would be more than {IN_PLACE} minor release behind {new}; "
        "restart them first, so that they get the version that their revision has now"
    )


def _ahead(proxies: Sequence[Proxy], new: Version) -> Finding | None:
    """Proxies that would be newer than their control plane, by at least a minor release."""
    early = [
        proxy for proxy in proxies if (old := parse(proxy.version)) and (minors_between(old, new) or 0) < 0
    ]
    if not early:
        return None
    return _refuse(
        f"{_named(early)} would be ahead of control plane {new}, which must not be; "
        "install the older version as another revision, move them there, then remove this one"
    )


def _named(proxies: Sequence[Proxy]) -> str:
    shown = ", ".join(f"{proxy.name} ({proxy.version})" for proxy in sorted(proxies)[:NAMED])
    more = f" and {len(proxies) - NAMED} more" if len(proxies) > NAMED else ""
    return f"{len(proxies)} {'proxy' if len(proxies) == 1 else 'proxies'}: {shown}{more}"
