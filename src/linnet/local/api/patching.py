"""JSON patch, JSON merge patch and strategic merge patch, as an API server applies them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linnet.local.api.schemas import Node

Json = dict[str, Any]


class PatchError(ValueError):
    """A patch that is malformed (`code` 400) or does not fit the object (`code` 422)."""

    def __init__(self, message: str, *, code: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def json_patch(doc: Json, operations: Sequence[Json]) -> Json:
    """The document after the operations; `doc` is not changed. Raises: PatchError. Source: RFC 6902."""
    raise NotImplementedError


def merge_patch(doc: Any, patch: Any) -> Any:
    """The document after the merge; `doc` is not changed. Source: RFC 7396."""
    raise NotImplementedError


def strategic_patch(doc: Json, patch: Json, schema: Node) -> Json:
    """The document after a strategic merge patch; `doc` is not changed. Raises: PatchError."""
    raise NotImplementedError
