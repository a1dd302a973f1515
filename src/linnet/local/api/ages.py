"""Durations as kubectl shows them. Source: Kubernetes, apimachinery `util/duration`."""

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_YEAR = 365 * _DAY


def moment(text: str) -> datetime:
    """An RFC 3339 time, with or without fractions of a second."""
    return datetime.fromisoformat(text)


def since(text: str | None, now: datetime | None = None) -> str:
    """The age of something that happened at `text`."""
    if not text:
        return "<unknown>"
    return duration(((now or datetime.now(UTC)) - moment(text)).total_seconds())


def duration(seconds: float) -> str:
    """Short and human: 5s, 3m20s, 7h12m, 2d3h, 40d."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 3 * _HOUR:
        return _two(whole, _MINUTE, "m", 1, "s") if whole < 10 * _MINUTE else f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    return f"{whole // large}{large_name}" + (f"{rest}{small_name}" if rest else "")
