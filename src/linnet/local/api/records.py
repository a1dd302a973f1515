"""What the store holds: objects as records, changes as events."""

from typing import Any, Literal

import orjson
from msgspec import Struct

Change = Literal["ADDED", "MODIFIED", "DELETED"]


class Record(Struct, frozen=True):
    """An object as it was stored: JSON with its resourceVersion inside."""

    key: str
    rev: int
    raw: bytes

    def load(self) -> dict[str, Any]:
        """A private copy that the caller may change."""
        loaded: dict[str, Any] = orjson.loads(self.raw)
        return loaded


class Event(Struct, frozen=True):
    """One change; `record` of a deletion is the last state with the deletion's revision."""

    rev: int
    change: Change
    record: Record
    before: Record | None
    at: float  # seconds since the epoch


def bucket_of(key: str) -> str:
    """The part of a key before `|`: the resource."""
    return key[: key.index("|")]
