"""What Kubernetes refuses in objects of built-in kinds, and what it does not let users change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linnet.local.api.causes import Cause

Json = dict[str, Any]


def causes(
    group: str, kind: str, obj: Json, old: Json | None = None, *, namespaced: bool, subresource: str = ""
) -> list[Cause]:
    """Violations in the order in which Kubernetes reports them; metadata is checked for every kind.

    `old` is the stored object of an update, None for a create. `obj` already has its defaults.
    """
    raise NotImplementedError
