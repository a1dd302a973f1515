"""Netlink's bytes (headers, attributes, answers), and a connection that sends requests and reads answers.

Source: Linux, `include/uapi/linux/netlink.h`.
"""

import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

from linnet.netlink.namespaces import inside

ROUTE = 0
NETFILTER = 12

REQUEST, ACK = 0x1, 0x4
DUMP = 0x300
REPLACE, EXCLUSIVE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800

_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_SO_SNDBUFFORCE = 32
_ACK_TLVS = 0x200
_MESSAGE_TEXT = 1


class NetlinkError(OSError):
    """The kernel refused a request; `index` tells which one of those that were sent together, from 0."""

    def __init__(self, number: int, text: str, index: int = 0) -> None:
        super().__init__(number, f"{os.strerror(number)}{f' ({text})' if text else ''}")
        self.index = index


class Message(NamedTuple):
    """One answer: its type and what follows the header."""

    kind: int
    body: bytes


def attribute(kind: int, data: bytes) -> bytes:
    """A netlink attribute, padded to four bytes."""
    length = 4 + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + b"\0" * (-length % 4)


def text(kind: int, value: str) -> bytes:
    """An attribute that is a string with a terminating zero."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NESTED, b"".join(parts))


def u32(kind: int, value: int) -> bytes:
    """A 32 bit attribute in the machine's byte order (rtnetlink)."""
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """A 32 bit attribute in network byte order (nf_tables)."""
    return attribute(kind, struct.pack(">I", value & 0xFFFF_FFFF))


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes in `data` from `offset` on, as (type without flags, value)."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class Connection:
    """A netlink socket of one network namespace. Requests are answered before a call returns."""

    def __init__(self, protocol: int, namespace: int | None = None) -> None:
        if namespace is None:
            self._socket = _open(protocol)
        else:
            with inside(namespace):
                self._socket = _open(protocol)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def pack(self, kind: int, flags: int, body: bytes) -> bytes:
        """One request as bytes, with the next sequence number."""
        self._sequence += 1
        return _HEADER.pack(16 + len(body), kind, flags | REQUEST, self._sequence, 0) + body

    def request(self, messages: list[bytes], *, ignore: tuple[int, ...] = ()) -> None:
        """Send requests that each ask for an acknowledgement; wait for all of them.

        Raises:
            NetlinkError: the first refusal whose errno is not in `ignore`.
        """
        if not messages:
            return
        first = _HEADER.unpack_from(messages[0])[3]
        self._send(b"".join(messages))
        failure: NetlinkError | None = None
        waiting = len(messages)
        while waiting:
            for kind, flags, sequence, body in self._receive():
                if kind != _ERROR or not first <= sequence < first + len(messages):
                    continue
                waiting -= 1
                failed = refusal(flags, body, sequence - first)
                if failed and failed.errno not in ignore and failure is None:
                    failure = failed
        if failure:
            raise failure

    def batch(self, messages: list[bytes]) -> None:
        """Send an nf_tables batch, whose last message alone asks for an acknowledgement.

        Raises:
            NetlinkError: the first refusal; nothing of the batch is in force.
        """
        numbers = [_HEADER.unpack_from(message)[3] for message in messages]
        self._send(b"".join(messages))
        failure: NetlinkError | None = None
        while True:
            for kind, flags, sequence, body in self._receive():
                if kind != _ERROR or sequence not in numbers:
                    continue
                failed = refusal(flags, body, numbers.index(sequence))
                failure = failure or failed
                if sequence == numbers[-1] or failed:
                    if failure is None:
                        return
                    self._drain()
                    raise failure

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """All answers to a dump request. Raises NetlinkError."""
        self._socket.send(self.pack(kind, DUMP, body))
        answers: list[Message] = []
        while True:
            for answer, flags, _, data in self._receive():
                if answer == _DONE:
                    return answers
                if answer == _ERROR:
                    if failed := refusal(flags, data, 0):
                        raise failed
                    return answers
                answers.append(Message(answer, data))

    def _send(self, data: bytes) -> None:
        if len(data) > 100_000:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 4 * len(data))
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(data))
        self._socket.send(data)

    def _receive(self) -> list[tuple[int, int, int, bytes]]:
        data = self._socket.recv(1 << 18)
        found = []
        offset = 0
        while offset + 16 <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            found.append((kind, flags, sequence, data[offset + 16 : offset + length]))
            offset += (length + 3) & ~3
        return found

    def _drain(self) -> None:
        self._socket.setblocking(False)
        try:
            while self._socket.recv(1 << 18):
                pass
        except BlockingIOError:
            pass
        finally:
            self._socket.setblocking(True)


def refusal(flags: int, body: bytes, index: int) -> NetlinkError | None:
    """What an error message of the kernel says; None if it is an acknowledgement."""
    number = -struct.unpack_from("=i", body)[0]
    if not number:
        return None
    words = ""
    if flags & _ACK_TLVS:
        for kind, value in attributes(body, 20):
            if kind == _MESSAGE_TEXT:
                words = value.rstrip(b"\0").decode(errors="replace")
    return NetlinkError(number, words, index)


def _open(protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    made.bind((0, 0))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for option in (_EXT_ACK, _CAP_ACK):
        made.setsockopt(_SOL_NETLINK, option, 1)
    return made
