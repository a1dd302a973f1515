"""Read Prometheus' text format, as istiods and Envoys write it (pure).

Source: Prometheus, "Exposition formats" 0.0.4.
"""

import math
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\n": "\n", "\\\\": "\\", '\\"': '"'}


class Sample(Struct, frozen=True):
    """One line: a name with its labels, and a number."""

    name: str
    labels: Mapping[str, str]
    value: float


class Histogram(Struct, frozen=True):
    """How often values were at most `bounds[i]`: `counts[i]`, cumulative; the last bound is infinite."""

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        """How many values there are."""
        return self.counts[-1] if self.counts else 0.0

    def plus(self, other: "Histogram") -> "Histogram":
        """Both together; where the bounds differ, the one with more values."""
        if not self.counts or not other.counts:
            return self if self.counts else other
        if self.bounds != other.bounds:
            return max(self, other, key=lambda held: held.total)
        return Histogram(self.bounds, tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    def since(self, earlier: "Histogram") -> "Histogram":
        """What came after an earlier reading; all of it if the counting began anew in between."""
        if self.bounds != earlier.bounds or self.total < earlier.total:
            return self
        return Histogram(self.bounds, tuple(a - b for a, b in zip(self.counts, earlier.counts, strict=True)))

    def percentile(self, share: float) -> float | None:
        """The value that `share` of all values do not exceed, interpolated in its bucket; None: no values.

        Beyond the last finite bound: that bound.
        """
        if not self.total:
            return None
        rank, below, floor = share * self.total, 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= rank and count > below:
                if math.isinf(bound):
                    return floor
                return floor + (bound - floor) * (rank - below) / (count - below)
            below, floor = count, floor if math.isinf(bound) else bound
        return floor


def samples(text: str) -> list[Sample]:
    """All samples; lines that are none are left out."""
    found = []
    for line in text.splitlines():
        match = None if line.startswith("#") else _SAMPLE.fullmatch(line)
        if match is None:
            continue
        try:
            value = float(match[3])
        except ValueError:
            continue
        labels = {name: _unescaped(text) for name, text in _LABEL.findall(match[2] or "")}
        found.append(Sample(match[1], labels, value))
    return found


def histogram(held: Iterable[Sample], name: str) -> Histogram:
    """The histograms of a name together, whatever their labels."""
    counts: dict[float, float] = {}
    for sample in held:
        if sample.name == f"{name}_bucket" and "le" in sample.labels:
            bound = float(sample.labels["le"])
            counts[bound] = counts.get(bound, 0.0) + sample.value
    bounds = tuple(sorted(counts))
    return Histogram(bounds, tuple(counts[bound] for bound in bounds))


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda match: _ESCAPES.get(match[0], match[0]), text)
