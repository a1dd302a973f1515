"""Envoy's message classes by name: `from linnet.envoy.messages import Cluster, Duration`.

Classes are made at first use. Types for the checker are in `messages.pyi`; which messages there are, and how
they are called, is settled in `tools/envoy_messages`. protobuf's own messages (`Any`, `Duration`,
`Struct`, `UInt32Value`, ...) must come from here as well: a message takes only parts from its own pool.
"""

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

from linnet.envoy.pool import full_names, pool


def __getattr__(name: str) -> object:
    full = full_names().get(name)
    if full is None:
        raise AttributeError(f"linnet.envoy.messages has no {name!r}")
    made = _made(full)
    globals()[name] = made
    return made


def _made(full: str) -> object:
    try:
        return GetMessageClass(pool().FindMessageTypeByName(full))
    except KeyError:
        enum: EnumDescriptor = pool().FindEnumTypeByName(full)
        return EnumTypeWrapper(enum)
