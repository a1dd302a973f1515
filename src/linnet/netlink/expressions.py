"""nf_tables expressions: what a rule matches and does, as bytes that `nftables.Batch.rule` takes in order.

    batch.rule("mesh", "output", exp.tcp(), exp.destination("127.0.0.1", equal=False), exp.redirect(15001))

Registers are 32 bit wide and numbered from `REGISTER`; a value of n bytes fills n / 4 of them.

Source: Linux, `include/uapi/linux/netfilter/nf_tables.h`.
"""

import socket
import struct
from enum import IntEnum

from linnet.netlink import wire

REGISTER = 8  # NFT_REG32_00
IPV4 = 2  # NFPROTO_IPV4


class Verdict(IntEnum):
    """Where a packet goes."""

    DROP = 0
    ACCEPT = 1
    JUMP = -3
    GOTO = -4
    RETURN = -5


class Meta(IntEnum):
    """What the kernel knows about a packet besides its bytes."""

    MARK = 3
    IN_INTERFACE_NAME = 6
    OUT_INTERFACE_NAME = 7
    SOCKET_UID = 10
    SOCKET_GID = 11
    NETWORK_PROTOCOL = 15
    TRANSPORT_PROTOCOL = 16


def verdict_data(verdict: Verdict, chain: str = "") -> bytes:
    """A verdict as the value of an element of a verdict map, or of `immediate`."""
    name = (wire.text(2, chain),) if chain else ()
    return wire.nested(2, wire.be32(1, verdict), *name)


# --- loading and comparing ---


def meta(key: Meta, register: int = REGISTER) -> bytes:
    """Load a fact about the packet into a register."""
    return _expression("meta", wire.be32(1, register), wire.be32(2, key))


def network_header(offset: int, length: int, register: int = REGISTER) -> bytes:
    """Load bytes of the IP header."""
    return _payload(1, offset, length, register)


def transport_header(offset: int, length: int, register: int = REGISTER) -> bytes:
    """Load bytes of the TCP or UDP header."""
    return _payload(2, offset, length, register)


def compare(value: bytes, *, equal: bool = True, register: int = REGISTER) -> bytes:
    """Go on with the rule if a register is (not) equal to `value`."""
    return _expression("cmp", wire.be32(1, register), wire.be32(2, 0 if equal else 1), _data(3, value))


def mask(value: bytes, register: int = REGISTER) -> bytes:
    """Keep the bits of a register that are set in `value`."""
    zeros = b"\0" * len(value)
    return _expression(
        "bitwise",
        wire.be32(1, register),
        wire.be32(2, register),
        wire.be32(3, len(value)),
        _data(4, value),
        _data(5, zeros),
    )


def immediate(value: bytes, register: int = REGISTER) -> bytes:
    """Load a constant."""
    return _expression("immediate", wire.be32(1, register), _data(2, value))


def lookup(
    name: str, register: int = REGISTER, *, into: int | None = None, set_id: int = 0, equal: bool = True
) -> bytes:
    """Go on if the key in `register` is (not) in a set; of a map, load its value `into` a register.

    `into` 0 takes the value as the verdict. `set_id` names a set that the same batch makes anonymously.
    """
    parts = [wire.text(1, name), wire.be32(2, register)]
    if into is not None:
        parts.append(wire.be32(3, into))
    if set_id:
        parts.append(wire.be32(4, set_id))
    if not equal:
        parts.append(wire.be32(5, 1))
    return _expression("lookup", *parts)


def random(modulus: int, register: int = REGISTER) -> bytes:
    """Load a random number below `modulus`."""
    return _expression(
        "numgen", wire.be32(1, register), wire.be32(2, modulus), wire.be32(3, 1), wire.be32(4, 0)
    )


def load_connection_status(register: int = REGISTER) -> bytes:
    """Load the status bits of the tracked connection (32: its destination was rewritten)."""
    return _expression("ct", wire.be32(1, register), wire.be32(2, 2))


# --- matches ---


def tcp() -> bytes:
    """TCP packets."""
    return meta(Meta.TRANSPORT_PROTOCOL) + compare(bytes([socket.IPPROTO_TCP]))


def udp() -> bytes:
    """UDP packets."""
    return meta(Meta.TRANSPORT_PROTOCOL) + compare(bytes([socket.IPPROTO_UDP]))


def destination_port(port: int, *, equal: bool = True) -> bytes:
    """TCP or UDP packets to a port (match the protocol first)."""
    return transport_header(2, 2) + compare(struct.pack(">H", port), equal=equal)


def destination(network: str, *, equal: bool = True) -> bytes:
    """IPv4 packets to an address or a network (`10.0.0.0/8`)."""
    return _network(16, network, equal=equal)


def source(network: str, *, equal: bool = True) -> bytes:
    """IPv4 packets from an address or a network."""
    return _network(12, network, equal=equal)


def in_interface(name: str, *, equal: bool = True) -> bytes:
    """Packets that came in by an interface."""
    return meta(Meta.IN_INTERFACE_NAME) + compare(name.encode().ljust(16, b"\0"), equal=equal)


def out_interface(name: str, *, equal: bool = True) -> bytes:
    """Packets that leave by an interface."""
    return meta(Meta.OUT_INTERFACE_NAME) + compare(name.encode().ljust(16, b"\0"), equal=equal)


def socket_uid(uid: int, *, equal: bool = True) -> bytes:
    """Packets of sockets made by a user."""
    return meta(Meta.SOCKET_UID) + compare(struct.pack("=I", uid), equal=equal)


def socket_gid(gid: int, *, equal: bool = True) -> bytes:
    """Packets of sockets made by a group."""
    return meta(Meta.SOCKET_GID) + compare(struct.pack("=I", gid), equal=equal)


def mark(value: int, *, equal: bool = True) -> bytes:
    """Packets with a mark (SO_MARK of the socket)."""
    return meta(Meta.MARK) + compare(struct.pack("=I", value), equal=equal)


def rewritten_destination(*, equal: bool = True) -> bytes:
    """Packets of connections whose destination was (not) rewritten."""
    bits = struct.pack("=I", 32)
    return load_connection_status() + mask(bits) + compare(b"\0\0\0\0", equal=not equal)


# --- actions ---


def verdict(verdict: Verdict, chain: str = "") -> bytes:
    """End the rule with a verdict; JUMP and GOTO name a chain."""
    return _expression("immediate", wire.be32(1, 0), wire.nested(2, verdict_data(verdict, chain)))


def redirect(port: int) -> bytes:
    """Send the connection to a port of the address by which it came in (of loopback, if it is our own)."""
    return immediate(struct.pack(">H", port)) + _expression("redir", wire.be32(1, REGISTER))


def destination_nat(address: int, port: int) -> bytes:
    """Rewrite the destination from two registers."""
    return _expression("nat", wire.be32(1, 1), wire.be32(2, IPV4), wire.be32(3, address), wire.be32(5, port))


def masquerade() -> bytes:
    """Rewrite the source to the address of the outgoing interface."""
    return _expression("masq")


def reject_tcp() -> bytes:
    """Answer with a reset (match TCP first)."""
    return _expression("reject", wire.be32(1, 1), wire.attribute(2, b"\0"))


def reject_port_unreachable() -> bytes:
    """Answer with ICMP "port unreachable"."""
    return _expression("reject", wire.be32(1, 0), wire.attribute(2, b"\3"))


def counter() -> bytes:
    """Count packets and bytes."""
    return _expression("counter")


def _expression(name: str, *parts: bytes) -> bytes:
    return wire.nested(1, wire.text(1, name), wire.nested(2, *parts))


def _data(kind: int, value: bytes) -> bytes:
    return wire.nested(kind, wire.attribute(1, value))


def _payload(base: int, offset: int, length: int, register: int) -> bytes:
    return _expression(
        "payload", wire.be32(1, register), wire.be32(2, base), wire.be32(3, offset), wire.be32(4, length)
    )


def _network(offset: int, network: str, *, equal: bool) -> bytes:
    address, _, length = network.partition("/")
    packed = socket.inet_aton(address)
    load = network_header(offset, 4)
    prefix = int(length or 32)
    if prefix == 32:
        return load + compare(packed, equal=equal)
    bits = 0xFFFF_FFFF << (32 - prefix) & 0xFFFF_FFFF
    wanted = struct.pack(">I", struct.unpack(">I", packed)[0] & bits)
    return load + mask(struct.pack(">I", bits)) + compare(wanted, equal=equal)
