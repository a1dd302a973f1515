"""What the types of all objects are made of."""

from typing import Annotated

from msgspec import Meta, Struct

UInt32 = Annotated[int, Meta(ge=0, le=4294967295)]
UInt64 = Annotated[int, Meta(ge=0)]


class Part(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A piece of an object as users write it: camelCase names, immutable, unknown fields are let pass."""
