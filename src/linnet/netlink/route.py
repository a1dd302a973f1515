"""rtnetlink: links, addresses, routes and neighbours of one network namespace.

Calls queue requests; `commit` sends them together and waits. Interfaces are known by index.

Source: Linux, `include/uapi/linux/rtnetlink.h`, `if_link.h`.
"""

import errno
import socket
import struct
from typing import Self

from linnet.netlink import wire

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _NEWROUTE, _DELROUTE, _NEWNEIGH = 16, 17, 18, 20, 24, 25, 28
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 1, 3, 4, 18, 26, 28
_AF_INET, _AF_INET6 = socket.AF_INET, socket.AF_INET6
_IFF_UP = 1
_TABLE_MAIN, _PROTO_STATIC, _SCOPE_UNIVERSE, _SCOPE_LINK, _UNICAST, _UNREACHABLE = 254, 4, 0, 253, 1, 7
_LOOPBACK = 1  # its interface index in every namespace


class Routes(wire.Connection):
    """An rtnetlink connection with a queue of requests."""

    def __init__(self, namespace: int | None = None) -> None:
        super().__init__(wire.ROUTE, namespace)
        self._queue: list[bytes] = []

    def commit(self, *, ignore: tuple[int, ...] = ()) -> None:
        """Send what was queued. Raises wire.NetlinkError unless its errno is in `ignore`."""
        queue, self._queue = self._queue, []
        self.request(queue, ignore=ignore)

    def veth(
        self,
        name: str,
        index: int,
        mac: bytes,
        *,
        peer: str,
        peer_index: int,
        peer_mac: bytes,
        peer_namespace: int,
    ) -> Self:
        """A pair of connected interfaces, one here, the other in the namespace behind a file descriptor."""
        other = _link(peer_index) + wire.text(_IFLA_IFNAME, peer) + wire.u32(_IFLA_NET_NS_FD, peer_namespace)
        other += wire.attribute(_IFLA_ADDRESS, peer_mac)
        body = _link(index) + wire.text(_IFLA_IFNAME, name) + wire.attribute(_IFLA_ADDRESS, mac)
        body += wire.nested(_IFLA_LINKINFO, wire.text(1, "veth"), wire.nested(2, wire.nested(1, other)))
        return self._add(_NEWLINK, wire.CREATE | wire.EXCLUSIVE, body)

    def up(self, index: int, *, forwarding: bool = False) -> Self:
        """Switch an interface on. `forwarding`: IPv4 packets that come in by it may leave by another."""
        body = _link(index, _IFF_UP, _IFF_UP)
        if forwarding:  # the same as net.ipv4.conf.<dev>.forwarding, but /proc/sys may be read-only
            body += wire.nested(_IFLA_AF_SPEC, wire.nested(_AF_INET, wire.nested(1, wire.u32(1, 1))))
        return self._add(_NEWLINK, 0, body)

    def no_ipv6_address(self, index: int) -> Self:
        """Have the kernel make no link-local IPv6 address, so that nothing passes by the IPv4 rules."""
        generate = wire.attribute(8, b"\1")  # IFLA_INET6_ADDR_GEN_MODE none
        body = _link(index) + wire.nested(_IFLA_AF_SPEC, wire.nested(_AF_INET6, generate))
        return self._add(_NEWLINK, 0, body)

    def delete_link(self, index: int) -> Self:
        """Remove an interface (of a pair: both)."""
        return self._add(_DELLINK, 0, _link(index))

    def address(self, index: int, ip: str, prefix: int = 32) -> Self:
        """Give an interface an address."""
        packed = socket.inet_aton(ip)
        body = struct.pack("=BBBBi", _AF_INET, prefix, 0, 0, index)
        body += wire.attribute(2, packed) + wire.attribute(1, packed)
        return self._add(_NEWADDR, wire.CREATE | wire.REPLACE, body)

    def route(self, destination: str, prefix: int, index: int, *, via: str = "", source: str = "") -> Self:
        """A route by an interface, to a neighbour (`via`) or directly; `source` is for packets of our own."""
        scope = _SCOPE_UNIVERSE if via else _SCOPE_LINK
        body = _route(destination, prefix, scope, _UNICAST) + wire.u32(4, index)
        if via:
            body += wire.attribute(5, socket.inet_aton(via))
        if source:
            body += wire.attribute(7, socket.inet_aton(source))
        return self._add(_NEWROUTE, wire.CREATE | wire.REPLACE, body)

    def unreachable(self, destination: str, prefix: int) -> Self:
        """Answer packets to a network with "unreachable", unless a longer route knows better."""
        body = _route(destination, prefix, _SCOPE_UNIVERSE, _UNREACHABLE)
        return self._add(_NEWROUTE, wire.CREATE | wire.REPLACE, body)

    def delete_route(self, destination: str, prefix: int, index: int) -> Self:
        """Remove a route."""
        body = _route(destination, prefix, _SCOPE_LINK, _UNICAST) + wire.u32(4, index)
        return self._add(_DELROUTE, 0, body)

    def neighbour(self, index: int, ip: str, mac: bytes) -> Self:
        """A permanent entry, so that the address is never asked for."""
        body = struct.pack("=BxxxiHBB", _AF_INET, index, 0x80, 0, 1)
        body += wire.attribute(1, socket.inet_aton(ip)) + wire.attribute(2, mac)
        return self._add(_NEWNEIGH, wire.CREATE | wire.REPLACE, body)

    def links(self) -> dict[str, int]:
        """The interfaces of the namespace: name -> index."""
        found: dict[str, int] = {}
        for message in self.dump(_GETLINK, _link(0)):
            index = struct.unpack_from("=i", message.body, 4)[0]
            for kind, value in wire.attributes(message.body, 16):
                if kind == _IFLA_IFNAME:
                    found[value.rstrip(b"\0").decode()] = index
        return found

    def _add(self, kind: int, flags: int, body: bytes) -> Self:
        self._queue.append(self.pack(kind, wire.ACK | flags, body))
        return self


def raise_loopback(namespace: int | None = None, *, forwarding: bool = False) -> None:
    """Switch on the loopback interface of a namespace."""
    with Routes(namespace) as routes:
        routes.up(_LOOPBACK, forwarding=forwarding)
        routes.commit(ignore=(errno.EEXIST,))


def _link(index: int, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def _route(destination: str, prefix: int, scope: int, kind: int) -> bytes:
    body = struct.pack("=BBBBBBBBI", _AF_INET, prefix, 0, 0, _TABLE_MAIN, _PROTO_STATIC, scope, kind, 0)
    return body + (wire.attribute(1, socket.inet_aton(destination)) if prefix else b"")
