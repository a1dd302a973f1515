"""The pod network: one network namespace as the node, pods on routed links behind it, addresses for them.

    host ── sockets, as descriptors ──▶ node namespace ── veth, one route per pod ──▶ pod namespaces

The host's own routes and rules are not touched. There is no bridge, so every packet between pods passes the
rules of the node, and services need no help of br_netfilter.
"""

import errno
import os
import socket
from collections import OrderedDict
from ipaddress import IPv4Network

from linnet.netlink import expressions as exp
from linnet.netlink.dial import connected
from linnet.netlink.namespaces import listener_in, new_namespace
from linnet.netlink.nftables import Batch, Firewall, Hook
from linnet.netlink.route import Routes, raise_loopback

NODE_IP = "10.244.0.1"
API_IP = "10.96.0.1"
DNS_IP = "10.96.0.10"
PODS = IPv4Network("10.244.0.0/24")
SERVICES = IPv4Network("10.96.0.0/16")

_TABLE = "nowhere"
_GATEWAY = "169.254.1.1"  # every pod's next hop; never asked for, as the neighbour entry is permanent
_GATEWAY_MAC = b"\xee\xee\xee\xee\xee\xee"
_LOOPBACK = 1
_ETH0 = 2
_FIRST_LINK = 1000


def make_node_namespace() -> int:
    """A descriptor of a new network namespace with the node's own addresses and routes.

    Raises:
        PermissionError: without the right to make namespaces.
    """
    namespace = new_namespace()
    raise_loopback(namespace, forwarding=True)
    with Routes(namespace) as routes:
        for ip in (NODE_IP, API_IP, DNS_IP):
            routes.address(_LOOPBACK, ip)
        # to a service from the node itself: any route will do until the rules rewrite the destination
        routes.route(str(SERVICES.network_address), SERVICES.prefixlen, _LOOPBACK, source=NODE_IP)
        # to a pod that is gone; a route of type "unreachable" would answer only once a second
        routes.route(str(PODS.network_address), PODS.prefixlen, _LOOPBACK, source=NODE_IP)
        routes.commit()
    with Firewall(namespace) as firewall:
        firewall.commit(_refusals())
    return namespace


def _refusals() -> Batch:
    """Refuse connections to service addresses that no rule rewrote, and to pods that are not there.

    Source: Kubernetes, kube-proxy: services without endpoints are rejected.
    """
    batch = Batch().table(_TABLE)
    for hook in ("forward", "output"):
        batch.chain(_TABLE, hook, Hook(hook, 0, "filter"))
        for ip in (NODE_IP, API_IP, DNS_IP):
            batch.rule(_TABLE, hook, exp.destination(ip), exp.verdict(exp.Verdict.ACCEPT))
        for network in (SERVICES, PODS):
            # our own packets that were rewritten keep their first interface until they leave
            nowhere = exp.out_interface("lo") + exp.rewritten_destination(equal=False)
            nowhere += exp.destination(str(network))
            batch.rule(_TABLE, hook, nowhere, exp.tcp(), exp.reject_tcp())
            batch.rule(_TABLE, hook, nowhere, exp.reject_port_unreachable())
    return batch


class Addresses:
    """Pod IPs; one that was given back is used again as late as possible."""

    def __init__(self) -> None:
        self._free = OrderedDict.fromkeys(str(ip) for ip in PODS.hosts() if str(ip) != NODE_IP)

    def take(self) -> str:
        """A free address. Raises OSError when there is none."""
        if not self._free:
            raise OSError(errno.EADDRNOTAVAIL, f"no free pod address in {PODS}")
        return self._free.popitem(last=False)[0]

    def give_back(self, ip: str) -> None:
        """Free an address."""
        self._free[ip] = None


class Network:
    """The node's end of the pod network."""

    def __init__(self, namespace: int) -> None:
        self.namespace = namespace
        self.addresses = Addresses()
        self._routes = Routes(namespace)
        self._next_link = max([*self._routes.links().values(), _FIRST_LINK]) + 1
        self._links: dict[str, int] = {}

    def close(self) -> None:
        """Close the connection to the kernel."""
        self._routes.close()

    def attach(self, ip: str) -> int:
        """A descriptor of a new namespace for a pod, with its link, address and routes up. Raises OSError."""
        namespace = new_namespace()
        link = self._next_link
        self._next_link += 1
        with Routes(namespace) as pod:
            pod.up(_LOOPBACK)
            pod.veth(
                "eth0",
                _ETH0,
                b"\x0a\x58" + socket.inet_aton(ip),
                peer=f"veth{link}",
                peer_index=link,
                peer_mac=_GATEWAY_MAC,
                peer_namespace=self.namespace,
            )
            pod.no_ipv6_address(_ETH0)
            pod.address(_ETH0, ip).up(_ETH0)
            pod.route(_GATEWAY, 32, _ETH0).neighbour(_ETH0, _GATEWAY, _GATEWAY_MAC)
            pod.route("0.0.0.0", 0, _ETH0, via=_GATEWAY)
            pod.commit(ignore=(errno.EAFNOSUPPORT, errno.EOPNOTSUPP))
        self._routes.no_ipv6_address(link).commit(ignore=(errno.EAFNOSUPPORT, errno.EOPNOTSUPP))
        self._routes.up(link, forwarding=True).route(ip, 32, link).commit()
        self._links[ip] = link
        return namespace

    def share(self) -> int:
        """A descriptor of the node's own namespace, for a pod that shares its network."""
        return os.dup(self.namespace)

    def detach(self, ip: str) -> None:
        """Refuse packets to a pod that is gone from now on; its link goes with its namespace."""
        link = self._links.pop(ip, None)
        if link is not None:
            gone = (errno.ESRCH, errno.ENODEV, errno.ENOENT)
            self._routes.delete_route(ip, 32, link).commit(ignore=gone)

    def listen(self, host: str, port: int) -> socket.socket:
        """A non-blocking listening TCP socket of the node's namespace. Raises OSError."""
        return listener_in(self.namespace, host, port)

    async def dial(self, host: str, port: int, *, timeout: float = 5.0) -> socket.socket:
        """A connected non-blocking TCP socket of the node's namespace. Raises OSError."""
        return await connected(self.namespace, host, port, timeout=timeout)
