"""Who owns which field: the bookkeeping of `metadata.managedFields`, and server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linnet.local.api.schemas import Node

Json = dict[str, Any]


class ApplyConflict(Exception):
    """Fields of the applied configuration are owned by others, with different values: a 409 `Conflict`.

    `message` and `causes` (reason FieldManagerConflict, message, field) are those of the Status.
    """

    def __init__(self, message: str, causes: list[Json]) -> None:
        super().__init__(message)
        self.message = message
        self.causes = causes


class ApplyError(Exception):
    """A configuration that the schema cannot type: a 500 without a reason. `message` as in the Status."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def updated(
    live: Json | None,
    new: Json,
    *,
    manager: str,
    schema: Node | None,
    api_version: str,
    subresource: str = "",
    now: str,
) -> Json:
    """`new` with the managed fields of a create (live None), update or patch by `manager`.

    `now` is RFC 3339 in seconds. `managedFields: []` (or `[{}]`) in `new` resets them. A write that changes
    nothing keeps the old entries and their times.
    """
    raise NotImplementedError


def applied(
    live: Json | None,
    config: Json,
    *,
    manager: str,
    schema: Node | None,
    api_version: str,
    subresource: str = "",
    force: bool = False,
    now: str,
) -> Json:
    """The object after a server-side apply of `config` by `manager`, with its managed fields.

    Raises: ApplyConflict unless `force`; ApplyError for fields that the schema does not know.
    """
    raise NotImplementedError
