"""Protobuf's descriptors, and how definitions are found among them."""

from collections.abc import Iterable, Iterator

from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto
File = descriptor_pb2.FileDescriptorProto
Message = descriptor_pb2.DescriptorProto
Enum = descriptor_pb2.EnumDescriptorProto
Files = descriptor_pb2.FileDescriptorSet


def definitions(place: File | Message) -> Iterator[Message | Enum]:
    """The messages, then the enums, that a file or a message defines."""
    yield from place.message_type if isinstance(place, File) else place.nested_type
    yield from place.enum_type


def indexed(files: Iterable[File]) -> dict[str, tuple[File, Message | Enum]]:
    """Full name -> (file, definition) of every message and enum, nested ones included."""
    index: dict[str, tuple[File, Message | Enum]] = {}

    def add(file: File, prefix: str, definition: Message | Enum) -> None:
        full = f"{prefix}.{definition.name}"
        index[full] = (file, definition)
        if isinstance(definition, Message):
            for nested in definitions(definition):
                add(file, full, nested)

    for file in files:
        for definition in definitions(file):
            add(file, file.package, definition)
    return index
