"""DNS messages: the question of a query, and answers to it (pure).

Source: RFC 1035; RFC 2308 (negative answers carry an SOA); RFC 2782 (SRV); RFC 6891 (EDNS size).
"""

import socket
import struct
from enum import IntEnum

from msgspec import Struct

_HEADER = struct.Struct(">HHHHHH")
_TTL = 5  # seconds, as the cluster DNS of Kubernetes
_IN = 1
_OPT = 41


class Type(IntEnum):
    """Record types that are answered."""

    A = 1
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    ANY = 255


class Code(IntEnum):
    """Response codes."""

    OK = 0
    MALFORMED = 1
    FAILED = 2
    NO_NAME = 3
    NOT_IMPLEMENTED = 4


class Query(Struct, frozen=True):
    """A question: a lower-case name without the final dot."""

    number: int
    flags: int
    name: str
    type: int
    question: bytes  # as it came
    size: int  # the largest UDP answer that the client takes


class Record(Struct, frozen=True):
    """A record of an answer."""

    name: str
    type: Type
    data: bytes


class Answer(Struct, frozen=True):
    """What is known about a name and a type."""

    code: Code
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


class Malformed(ValueError):
    """Not a query."""


def parse(packet: bytes) -> Query:
    """The first question of a query. Raises Malformed."""
    if len(packet) < _HEADER.size:
        raise Malformed("too short")
    number, flags, questions, _, _, additional = _HEADER.unpack_from(packet)
    if flags & 0x8000 or questions != 1:
        raise Malformed("not one question")
    labels, offset = _labels(packet, _HEADER.size)
    if offset + 4 > len(packet):
        raise Malformed("too short")
    kind = struct.unpack_from(">H", packet, offset)[0]
    end = offset + 4
    name = ".".join(label.decode("ascii", "replace") for label in labels).lower()
    return Query(number, flags, name, kind, packet[_HEADER.size : end], _edns_size(packet, end, additional))


def encode(query: Query, answer: Answer, *, zone: str, limit: int) -> bytes:
    """The answer as bytes; with the bit for "truncated" if it is longer than `limit`."""
    recursion = query.flags & 0x0100
    flags = 0x8000 | 0x0400 | recursion | 0x0080 | answer.code
    records = b"".join(_record(record) for record in answer.records)
    extra = b"".join(_record(record) for record in answer.additional)
    authority = b"" if answer.records else _soa(zone)
    counts = (1, len(answer.records), int(bool(authority)), len(answer.additional))
    whole = _HEADER.pack(query.number, flags, *counts) + query.question + records + authority + extra
    if len(whole) <= limit:
        return whole
    return _HEADER.pack(query.number, flags | 0x0200, 1, 0, 0, 0) + query.question


def failure(query: Query, code: Code) -> bytes:
    """An answer without records, not authoritative."""
    flags = 0x8080 | query.flags & 0x0100 | code
    return _HEADER.pack(query.number, flags, 1, 0, 0, 0) + query.question


def name_data(name: str) -> bytes:
    """A domain name, uncompressed."""
    labels = [label.encode("ascii", "replace")[:63] for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def address_data(ip: str) -> bytes:
    """An A record's data."""
    return socket.inet_aton(ip)


def service_data(port: int, target: str) -> bytes:
    """An SRV record's data."""
    return struct.pack(">HHH", 0, 100, port) + name_data(target)


def _labels(packet: bytes, offset: int) -> tuple[list[bytes], int]:
    labels: list[bytes] = []
    while offset < len(packet):
        length = packet[offset]
        if length == 0:
            return labels, offset + 1
        if length > 63:
            raise Malformed("a compressed question")
        labels.append(packet[offset + 1 : offset + 1 + length])
        offset += 1 + length
    raise Malformed("too short")


def _edns_size(packet: bytes, offset: int, additional: int) -> int:
    if additional == 1 and len(packet) >= offset + 11 and packet[offset] == 0:
        kind, size = struct.unpack_from(">HH", packet, offset + 1)
        if kind == _OPT:
            return int(max(512, min(size, 4096)))
    return 512


def _record(record: Record) -> bytes:
    head = struct.pack(">HHIH", record.type, _IN, _TTL, len(record.data))
    return name_data(record.name) + head + record.data


def _soa(zone: str) -> bytes:
    data = name_data(f"ns.dns.{zone}") + name_data(f"hostmaster.{zone}")
    data += struct.pack(">IIIII", 1, 7200, 1800, 86400, _TTL)
    return _record(Record(zone, Type.SOA, data))
