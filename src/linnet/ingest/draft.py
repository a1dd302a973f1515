"""A mapping being changed: copied at the first real change, given back itself if there was none."""

from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Draft(Generic[K, V]):
    """Changes of one mapping. A value equal to the one held is no change, and the one held stays."""

    __slots__ = ("_copy", "_held", "touched")

    def __init__(self, held: Mapping[K, V]) -> None:
        self._held = held
        self._copy: dict[K, V] | None = None
        self.touched: set[K] = set()

    def get(self, key: K) -> V | None:
        """The value as it is now."""
        return (self._held if self._copy is None else self._copy).get(key)

    def put(self, key: K, value: V | None) -> bool:
        """Set, or with None remove; True if that changed something."""
        if self.get(key) == value:
            return False
        if self._copy is None:
            self._copy = dict(self._held)
        if value is None:
            del self._copy[key]
        else:
            self._copy[key] = value
        self.touched.add(key)
        return True

    def result(self) -> Mapping[K, V]:
        """The mapping with all changes."""
        return self._held if self._copy is None else self._copy
