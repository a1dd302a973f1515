"""Decode `application/vnd.kubernetes.protobuf` request bodies into JSON shapes.

kubectl from 1.32 on and every client built on controller-runtime send them; answers are always JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linnet.local.api.schemas import Schemas

Json = dict[str, Any]

MAGIC = b"k8s\0"


class Malformed(ValueError):
    """A body that is not what the content type says: a 400."""


class UnknownMessage(ValueError):
    """A kind outside the field table: a 415."""


def decoded(body: bytes, schemas: Schemas) -> Json:
    """The object in a protobuf envelope, in the shape of its JSON twin. Raises: Malformed, UnknownMessage."""
    raise NotImplementedError
