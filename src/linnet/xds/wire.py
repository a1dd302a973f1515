"""Protobuf's wire format, as much of it as ADS needs: read the fields of a message, write tagged values.

Responses are spliced from resources that are already serialised, and of a request only a few fields matter
(Envoy's `Node` alone lists 700 extensions), so neither direction needs message classes.

Source: protobuf, "Encoding".
"""

import struct
from collections.abc import Iterator
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Malformed(ValueError):
    """The bytes are not a message of the expected kind."""


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values in order: `bytes` for length-delimited fields, `int` for the others.

    Raises:
        Malformed: the message is cut short or uses an unknown wire type.
    """
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            length, position = _varint(data, position)
            if position + length > end:
                raise Malformed(f"field {number} is cut short")
            yield number, data[position : position + length]
            position += length
        elif kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            if position + size > end:
                raise Malformed(f"field {number} is cut short")
            yield number, int.from_bytes(data[position : position + size], "little")
            position += size
        else:
            raise Malformed(f"field {number} has the unknown wire type {kind}")


def text(value: object) -> str:
    """A string field.

    Raises:
        Malformed: it is not UTF-8, or not length-delimited.
    """
    if not isinstance(value, bytes):
        raise Malformed("expected a string")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a string is not UTF-8") from error


def message(value: object) -> bytes:
    """An embedded message.

    Raises:
        Malformed: the field is not length-delimited.
    """
    if not isinstance(value, bytes):
        raise Malformed("expected a message")
    return value


def struct_fields(data: bytes) -> dict[str, Any]:
    """A `google.protobuf.Struct` as a dictionary."""
    result: dict[str, Any] = {}
    for number, value in fields(data):
        if number == 1:
            name, held = _map_entry(message(value))
            result[name] = _struct_value(held)
    return result


def string_map(entries: list[bytes]) -> dict[str, str]:
    """The entries of a `map<string, string>` field."""
    return {name: held.decode(errors="replace") for name, held in map(_map_entry, entries)}


def tagged(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _encode(number << 3 | _BYTES) + _encode(len(value)) + value


def tagged_text(number: int, value: str) -> bytes:
    """A string field; nothing for the empty string, which is the default."""
    return tagged(number, value.encode()) if value else b""


def _map_entry(data: bytes) -> tuple[str, bytes]:
    key, held = "", b""
    for number, value in fields(data):
        if number == 1:
            key = text(value)
        elif number == 2:
            held = message(value)
    return key, held


def _struct_value(data: bytes) -> Any:
    for number, value in fields(data):
        match number:
            case 1:
                return None
            case 2:
                return struct.unpack("<d", int(value).to_bytes(8, "little"))[0]
            case 3:
                return text(value)
            case 4:
                return bool(value)
            case 5:
                return struct_fields(message(value))
            case 6:
                return [_struct_value(message(item)) for n, item in fields(message(value)) if n == 1]
            case _:
                continue
    return None


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    try:
        while True:
            byte = data[position]
            position += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result, position
            shift += 7
            if shift > 63:
                raise Malformed("a varint is too long")
    except IndexError as error:
        raise Malformed("a varint is cut short") from error


def _encode(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
