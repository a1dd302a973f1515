"""Protobuf's wire format: tags, varints and length-delimited fields.

Source: protobuf.dev, Encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Truncated(ValueError):
    """Bytes that end inside a field, or have a wire type that does not exist."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position, and the position after it."""
    number = shift = 0
    while True:
        if at >= len(data):
            raise Truncated("unexpected EOF")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their raw values, in order. Raises: Truncated."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            number, at = varint(data, at)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            length, at = varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise Truncated(f"illegal wireType {kind}")
        if at + length > len(data):
            raise Truncated("unexpected EOF")
        yield tag >> 3, data[at : at + length]
        at += length


def signed(number: int) -> int:
    """A varint as a 64-bit signed number."""
    return number - (1 << 64) if number >= 1 << 63 else number
