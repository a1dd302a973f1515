"""What the types of all objects are made of."""

from typing import Annotated

from msgspec import Meta, Struct

UInt32 = Annotated[int, Meta(ge=0, le=4294967295)]
UInt64 = Annotated[int, Meta(ge=0)]


def rule(expression: str, message: str) -> Meta:
    """A constraint that API servers check, in CEL, where `self` is the value."""
    return Meta(extra_json_schema={"x-kubernetes-validations": [{"rule": expression, "message": message}]})


Duration = Annotated[str, rule("duration(self) >= duration('1ms')", "must be a duration of at least 1ms")]
Port = Annotated[UInt32, rule("0 < self && self <= 65535", "must be the number of a port, 1 to 65535")]


class Part(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A piece of an object as users write it: camelCase names, immutable, unknown fields are let pass."""
