"""The newest offer of one view, the way that led to it, and the steps between offers, made once for all.

Most proxies of a view stand at the same offer and make the same step to the next one.
So a step (which resources changed, and their bytes) belongs to the view, and a stream only refers to it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from linnet.model.resource import Offer, Resource
from linnet.xds import messages

NOTHING = Offer(MappingProxyType({}))
"""What a proxy holds before its first response."""

_HISTORY = 256  # a stream that is further behind has its difference computed from whole offers

Changes = Mapping[str, frozenset[str]]
"""Type URL -> names that an offer adds, changes or removes."""


@dataclass(slots=True, frozen=True)
class Point:
    """An offer on its line: `number` grows with every offer of the line."""

    line: "Line"
    number: int
    offer: Offer


@dataclass(slots=True)
class Step:
    """How the resources of one type differ between two offers; its bytes are made once, when first needed."""

    changed: Mapping[str, Resource]
    removed: tuple[str, ...]
    _delta: bytes | None = None
    _sotw: bytes | None = None

    def delta_body(self) -> bytes:
        """The changed resources as a delta response carries them."""
        if self._delta is None:
            self._delta = messages.delta_body(self.changed.values())
        return self._delta

    def sotw_body(self) -> bytes:
        """The changed resources as a state-of-the-world response carries them."""
        if self._sotw is None:
            self._sotw = messages.sotw_body(self.changed.values())
        return self._sotw

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


@dataclass(slots=True)
class Work:
    """How many resources were compared to find differences: grows with what changed, not with the mesh."""

    compared: int = 0
    steps: int = 0


_NO_STEP = Step({}, ())


@dataclass(slots=True)
class Line:
    """What all proxies of one view are offered, and what changed from offer to offer."""

    newest: Offer = NOTHING
    number: int = 0
    work: Work = field(default_factory=Work)
    _changes: deque[Changes] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    _steps: dict[tuple[str, int, int], Step] = field(default_factory=dict)
    _whole: dict[str, tuple[Mapping[str, Resource], Step]] = field(default_factory=dict)
    _some: dict[tuple[str, int, frozenset[str]], Step] = field(default_factory=dict)

    def publish(self, offer: Offer, changes: Changes | None = None) -> bool:
        """Make `offer` the newest; True if it differs from the one before.

        `changes` may name more than truly changed, never less; without it the offers are compared,
        type by type, and types that are the same object are not looked into.
        """
        if offer is self.newest:
            return False
        if changes is None:
            changes = {
                t: frozenset(self._differing(t, self.newest, offer)) for t in _types(self.newest, offer)
            }
        changes = {t: names for t, names in changes.items() if names}
        if not changes:
            # the same content in another object: streams go on referring to the one that they have
            return False
        self.newest, self.number = offer, self.number + 1
        self._changes.append(changes)
        self._steps.clear()
        self._some.clear()
        return True

    def point(self) -> Point:
        """The newest offer."""
        return Point(self, self.number, self.newest)

    def whole(self, type_url: str, offer: Offer) -> Step:
        """All resources of a type, as a first response carries them."""
        resources = offer.of(type_url)
        known = self._whole.get(type_url)
        if known is not None and known[0] is resources:
            return known[1]
        step = Step(resources, ())
        if offer is self.newest:
            self._whole[type_url] = (resources, step)
        return step

    def some(self, type_url: str, at: Point, names: frozenset[str]) -> Step:
        """These resources of a type; `at` is on this line and has all of them."""
        if not names:
            return _NO_STEP
        key = (type_url, at.number, names)
        step = self._some.get(key)
        if step is None:
            resources = at.offer.of(type_url)
            step = Step({name: resources[name] for name in sorted(names)}, ())
            self._some[key] = step
        return step

    def step(self, type_url: str, origin: Point, target: Point) -> Step:
        """How the type differs between two points; `target` is on this line, `origin` perhaps on another."""
        if origin.offer is target.offer:
            return _NO_STEP
        if origin.line is not self:
            return self._compare(type_url, None, origin.offer, target.offer)
        key = (type_url, origin.number, target.number)
        step = self._steps.get(key)
        if step is None:
            names = self._names(type_url, origin.number, target.number)
            step = self._steps[key] = self._compare(type_url, names, origin.offer, target.offer)
        return step

    def _names(self, type_url: str, origin: int, target: int) -> frozenset[str] | None:
        """Names that may have changed between two offers of this line; None if that is forgotten."""
        first = self.number - len(self._changes)  # the offer before the oldest change that is remembered
        if not first <= origin <= target:
            return None
        touched = (self._changes[i - first].get(type_url) for i in range(origin, target))
        return frozenset[str]().union(*(names for names in touched if names))

    def _compare(self, type_url: str, names: Iterable[str] | None, old: Offer, new: Offer) -> Step:
        self.work.steps += 1
        if names is None:
            names = self._differing(type_url, old, new)
        else:
            names = tuple(names)
            self.work.compared += len(names)
        before, after = old.of(type_url), new.of(type_url)
        changed: dict[str, Resource] = {}
        removed: list[str] = []
        for name in sorted(names):
            then, now = before.get(name), after.get(name)
            if now is None:
                if then is not None:
                    removed.append(name)
            elif then is None or then.version != now.version:
                changed[name] = now
        return Step(changed, tuple(removed)) if changed or removed else _NO_STEP

    def _differing(self, type_url: str, old: Offer, new: Offer) -> list[str]:
        """Names that differ; resources that are the same objects are passed over without a look inside."""
        before, after = old.of(type_url), new.of(type_url)
        if before is after:
            return []
        other = [name for name, now in after.items() if before.get(name) is not now]
        gone = [name for name in before if name not in after] if len(before) + len(other) > len(after) else []
        self.work.compared += len(other) + len(gone)
        return gone + [n for n in other if n not in before or before[n].version != after[n].version]


def _types(*offers: Offer) -> set[str]:
    return {type_url for offer in offers for type_url in offer.resources}
