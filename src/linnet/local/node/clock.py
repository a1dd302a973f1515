"""Points in time in the forms of the Kubernetes API."""

from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], datetime]


def wall() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """`2026-11-25T01:02:03Z`, the form of metav1.Time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(moment: datetime) -> str:
    """`2026-11-25T01:02:03.123456Z`, the form of metav1.MicroTime."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """The moment that `stamp` or `micro` wrote."""
    return datetime.fromisoformat(text)
