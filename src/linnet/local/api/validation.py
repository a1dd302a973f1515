"""Objects against schemas: unknown fields, wrong types, defaults and rules, with Kubernetes' texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from linnet.local.api.causes import Cause
    from linnet.local.api.schemas import Node

Json = dict[str, Any]


class WrongType(Exception):
    """A built-in kind with a value of a wrong type: a 400 `BadRequest`; `message` is Go's decoding text."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Pruned(msgspec.Struct, frozen=True):
    """An object without the fields that its schema does not know, and those fields' messages."""

    obj: Json
    unknown: tuple[str, ...]  # 'unknown field "spec.x"', as in warnings and strict decoding errors


def pruned(node: Node | None, obj: Json) -> Pruned:
    """The object as a typed server reads it. A node of None keeps everything.

    Raises: WrongType for built-ins, with the text that follows `cannot be handled as a KIND: `.
    """
    raise NotImplementedError


def defaulted(node: Node | None, obj: Json) -> Json:
    """A custom object with the defaults of its structural schema; a built-in one as it is."""
    raise NotImplementedError


def causes(node: Node | None, obj: Json, old: Json | None = None) -> list[Cause]:
    """What a custom object violates: structural schema, list types, then CEL rules. Empty for built-ins."""
    raise NotImplementedError
