"""Versions compared by number, never by letters: 1.9 is before 1.10."""

import re
from functools import total_ordering

from msgspec import Struct

_FORM = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+.](.*))?$")
_EARLY = re.compile(
    r"(alpha|beta|rc|dev)\b|(alpha|beta|rc|dev)\d"
)  # what comes before the release of that number


@total_ordering
class Version(Struct, frozen=True):
    """`major.minor.patch`; `early` if it comes before that release (`1.10.0-rc.1`)."""

    major: int
    minor: int
    patch: int = 0
    early: bool = False

    def __lt__(self, other: "Version") -> bool:
        return self._order < other._order

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def _order(self) -> tuple[int, int, int, bool]:
        return self.major, self.minor, self.patch, not self.early


def parse(text: str) -> Version | None:
    """The version that a text begins with (`v1.10`, `0.2.0-envoy-1.38`, `1.20.1-<sha>-Clean`), or None.

    What follows the number says how it was built, not which it is, unless it marks a release to come.
    """
    found = _FORM.match(text.strip())
    if not found:
        return None
    major, minor, patch, rest = found.groups()
    return Version(int(major), int(minor), int(patch or 0), bool(_EARLY.match(rest or "")))


def minors_between(old: Version, new: Version) -> int | None:
    """How many minor releases `new` is after `old` (negative: before it); None: other major versions."""
    return new.minor - old.minor if new.major == old.major else None
