"""nf_tables: tables, chains, rules, sets and maps, changed in atomic batches.

    with Firewall(namespace) as firewall:
        firewall.commit(Batch().table("t").chain("t", "c", Hook("output", -100)).rule("t", "c", …))

Family IPv4 throughout. A chain must not be called `in`, `out`, … as the `nft` tool then cannot read it back.

Source: Linux, `include/uapi/linux/netfilter/nf_tables.h`; nftables, `libnftnl`.
"""

import struct
from collections.abc import Iterable
from typing import Self

from msgspec import Struct

from linnet.netlink import wire
from linnet.netlink.expressions import IPV4

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _DELETE_CHAIN = 0, 2, 3, 5
_NEW_RULE, _DELETE_RULE, _NEW_SET, _NEW_ELEMENT, _DELETE_ELEMENT = 6, 8, 9, 12, 14
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
_SET_ANONYMOUS, _SET_CONSTANT, _SET_MAP = 1, 2, 8
_VERDICT_TYPE = 0xFFFF_FF00
_PER_ATTRIBUTE = 400  # elements; a nested attribute holds at most 64 KiB

# Data types as the nft tool names them, six bits each, so that it can print a set.
TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT = 7, 12, 13


class Hook(Struct, frozen=True):
    """Where a chain is attached, and when among the others (lower is earlier; -100 dstnat, 100 srcnat)."""

    name: str
    priority: int
    kind: str = "nat"  # or "filter", "route"


def key_type(*types: int) -> int:
    """The type of a concatenated key, for `Batch.set`."""
    code = 0
    for part in types:
        code = code << 6 | part
    return code


class Batch:
    """A list of changes. Nothing happens before `Firewall.commit`, then all of it or nothing."""

    def __init__(self) -> None:
        self.changes: list[tuple[int, int, bytes]] = []
        self._sets = 0

    def table(self, table: str) -> Self:
        """Make a table, or keep the one that is there."""
        return self._add(_NEW_TABLE, wire.CREATE, wire.text(1, table) + wire.be32(2, 0))

    def delete_table(self, table: str) -> Self:
        """Remove a table with everything in it."""
        return self._add(_DELETE_TABLE, 0, wire.text(1, table))

    def chain(self, table: str, chain: str, hook: Hook | None = None, *, accept: bool = True) -> Self:
        """Make a chain; with a hook, packets enter there, and `accept` decides about those no rule does."""
        body = wire.text(1, table) + wire.text(3, chain)
        if hook is not None:
            place = wire.nested(4, wire.be32(1, _HOOKS[hook.name]), wire.be32(2, hook.priority))
            body += place + wire.be32(5, int(accept)) + wire.text(7, hook.kind)
        return self._add(_NEW_CHAIN, wire.CREATE, body)

    def delete_chain(self, table: str, chain: str) -> Self:
        """Remove a chain that nothing jumps to; flush it first."""
        return self._add(_DELETE_CHAIN, 0, wire.text(1, table) + wire.text(3, chain))

    def flush_chain(self, table: str, chain: str) -> Self:
        """Remove the rules of a chain."""
        return self._add(_DELETE_RULE, 0, wire.text(1, table) + wire.text(2, chain))

    def rule(self, table: str, chain: str, *expressions: bytes) -> Self:
        """Append a rule made of expressions (`linnet.netlink.expressions`)."""
        body = wire.text(1, table) + wire.text(2, chain) + wire.nested(4, *expressions)
        return self._add(_NEW_RULE, wire.CREATE | wire.APPEND, body)

    def set(self, table: str, name: str, key_length: int, kind: int = 0) -> Self:
        """Make a named set of keys."""
        self._sets += 1
        return self._add(_NEW_SET, wire.CREATE, _set(table, name, 0, kind, key_length, self._sets))

    def verdict_map(self, table: str, name: str, key_length: int, kind: int = 0) -> Self:
        """Make a named map from keys to verdicts."""
        self._sets += 1
        body = _set(table, name, _SET_MAP, kind, key_length, self._sets)
        return self._add(_NEW_SET, wire.CREATE, body + wire.be32(6, _VERDICT_TYPE))

    def anonymous_map(
        self, table: str, key_length: int, value_length: int, elements: Iterable[tuple[bytes, bytes]]
    ) -> int:
        """Make a constant map for one rule of this batch; gives the `set_id` for `lookup(ANONYMOUS, …)`."""
        self._sets += 1
        number = self._sets
        body = _set(table, ANONYMOUS, _SET_ANONYMOUS | _SET_CONSTANT | _SET_MAP, 0, key_length, number)
        self._add(_NEW_SET, wire.CREATE, body + wire.be32(6, 0) + wire.be32(7, value_length))
        packed = [_element(key, wire.nested(2, wire.attribute(1, value))) for key, value in elements]
        self._elements(_NEW_ELEMENT, table, ANONYMOUS, packed, number)
        return number

    def add(self, table: str, name: str, keys: Iterable[bytes]) -> Self:
        """Put keys into a set; those that are there already stay."""
        return self._elements(_NEW_ELEMENT, table, name, [_element(key) for key in keys])

    def add_verdicts(self, table: str, name: str, verdicts: Iterable[tuple[bytes, bytes]]) -> Self:
        """Put keys with their `verdict_data` into a verdict map."""
        packed = [_element(key, wire.nested(2, verdict)) for key, verdict in verdicts]
        return self._elements(_NEW_ELEMENT, table, name, packed)

    def remove(self, table: str, name: str, keys: Iterable[bytes]) -> Self:
        """Take keys out of a set or map."""
        return self._elements(_DELETE_ELEMENT, table, name, [_element(key) for key in keys])

    def _elements(self, kind: int, table: str, name: str, packed: list[bytes], set_id: int = 0) -> Self:
        head = wire.text(1, table) + wire.text(2, name) + (wire.be32(4, set_id) if set_id else b"")
        flags = wire.CREATE if kind == _NEW_ELEMENT else 0
        for start in range(0, len(packed), _PER_ATTRIBUTE):
            self._add(kind, flags, head + wire.nested(3, *packed[start : start + _PER_ATTRIBUTE]))
        return self

    def _add(self, kind: int, flags: int, body: bytes) -> Self:
        self.changes.append((kind, flags, body))
        return self


ANONYMOUS = "__map%d"  # the kernel puts a number in


class Firewall(wire.Connection):
    """An nf_tables connection of one network namespace."""

    def __init__(self, namespace: int | None = None) -> None:
        super().__init__(wire.NETFILTER, namespace)

    def commit(self, batch: Batch) -> None:
        """Put all changes of a batch in force at once.

        Raises:
            wire.NetlinkError: the kernel refused one of them (`index` tells which); nothing has changed.
        """
        if not batch.changes:
            return
        subsystem = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        family = struct.pack(">BBH", IPV4, 0, 0)
        messages = [self.pack(_BATCH_BEGIN, 0, subsystem)]
        messages += [
            self.pack(_SUBSYSTEM << 8 | kind, flags, family + body) for kind, flags, body in batch.changes
        ]
        messages.append(self.pack(_BATCH_END, wire.ACK, subsystem))
        try:
            self.batch(messages)
        except wire.NetlinkError as error:
            error.index = max(0, error.index - 1)
            raise


def _set(table: str, name: str, flags: int, kind: int, key_length: int, number: int) -> bytes:
    body = wire.text(1, table) + wire.text(2, name) + wire.be32(3, flags)
    return body + wire.be32(4, kind) + wire.be32(5, key_length) + wire.be32(10, number)


def _element(key: bytes, value: bytes = b"") -> bytes:
    return wire.nested(1, wire.nested(1, wire.attribute(1, key)) + value)
