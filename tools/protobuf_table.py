"""Build the field table of the protobuf decoder from the descriptors inside a kubectl binary.

    python tools/protobuf_table.py /usr/bin/kubectl.1.33 src/linnet/local/api/data/protobuf.json.gz

kubectl up to 1.33 contains the gzipped FileDescriptorProtos of `k8s.io`. The table has, for every message,
`{number: [name, "one" | "rep" | "map", type]}`; `type` is a scalar or the name of a message.
The result is committed; it is the same bytes on every run.

Source: kubectl 1.33 (Apache-2.0, Copyright The Kubernetes Authors).
"""

import gzip
import json
import re
import sys
import zlib
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

Table = dict[str, dict[str, list[str]]]

_GZIP = b"\x1f\x8b\x08"
_MOST = 2_000_000  # bytes of a compressed descriptor
_SERVED = re.compile(r"k8s\.io\.(api\.\w+\.v\d+|apimachinery\..*)$")  # stable versions only
_SCALARS = {
    1: "double",
    2: "float",
    3: "int",
    4: "uint",
    5: "int",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint",
}
_MESSAGE = 11
_REPEATED = 3


def files(binary: bytes) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """Every file descriptor that lies gzipped in a Go binary, by name."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    at = binary.find(_GZIP)
    while at >= 0:
        try:
            raw = zlib.decompressobj(31).decompress(binary[at : at + _MOST])
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
        except (zlib.error, DecodeError, UnicodeDecodeError):
            pass  # other gzipped data
        else:
            if file.name.endswith(".proto") and file.message_type:
                found[file.name] = file
        at = binary.find(_GZIP, at + 1)
    return found


def _type(field: descriptor_pb2.FieldDescriptorProto) -> str:
    return field.type_name.removeprefix(".") if field.type == _MESSAGE else _SCALARS[field.type]


def fields(message: descriptor_pb2.DescriptorProto, name: str) -> dict[str, list[str]]:
    """The fields of one message."""
    maps = {f".{name}.{entry.name}": entry for entry in message.nested_type if entry.options.map_entry}
    table: dict[str, list[str]] = {}
    for field in sorted(message.field, key=lambda field: field.number):
        if entry := maps.get(field.type_name):
            value = next(part for part in entry.field if part.number == 2)
            table[str(field.number)] = [field.name, "map", _type(value)]
        else:
            table[str(field.number)] = [
                field.name,
                "rep" if field.label == _REPEATED else "one",
                _type(field),
            ]
    return table


def table(binary: bytes) -> Table:
    """The whole table."""
    return {
        f"{file.package}.{message.name}": fields(message, f"{file.package}.{message.name}")
        for _, file in sorted(files(binary).items())
        if _SERVED.match(file.package)
        for message in file.message_type
    }


def main() -> None:
    source, target = sys.argv[1:]
    built = table(Path(source).read_bytes())
    text = json.dumps(built, separators=(",", ":"), sort_keys=True).encode()
    Path(target).write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{len(built)} messages")


if __name__ == "__main__":
    main()
