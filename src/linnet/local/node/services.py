"""ClusterIP services as nf_tables rules of the node's namespace: the part of kube-proxy.

    prerouting, output: address . protocol . port ── verdict map ──▶ chain of the port ── random ──▶ endpoint
    postrouting: a pod that reached itself is masqueraded

A change touches the chains of the ports that changed and nothing else.
"""

import socket
import struct

from msgspec import Struct

from linnet.kube.mirror import Key
from linnet.local.node.network import API_IP, DNS_IP, PODS
from linnet.local.node.service_table import Backend, Change, Service
from linnet.netlink import expressions as exp
from linnet.netlink.expressions import REGISTER, Verdict
from linnet.netlink.nftables import (
    ANONYMOUS,
    TYPE_ADDRESS,
    TYPE_PORT,
    TYPE_PROTOCOL,
    Batch,
    Firewall,
    Hook,
    key_type,
)

_TABLE = "linnet"
_MAP = "services"
_SELF = "hairpin"
_PROTOCOLS = {"TCP": socket.IPPROTO_TCP, "UDP": socket.IPPROTO_UDP}
_OWN = frozenset({API_IP, DNS_IP})  # served by sockets, not by rules
_AT_ONCE = 100  # services in one batch, so that a message stays small


class Front(Struct, frozen=True):
    """An address that is served."""

    ip: str
    protocol: str
    port: int

    def packed(self) -> bytes:
        """The key of the verdict map: each part padded to a register."""
        protocol = bytes([_PROTOCOLS[self.protocol], 0, 0, 0])
        return socket.inet_aton(self.ip) + protocol + struct.pack(">H", self.port) + b"\0\0"


def fronts(service: Service) -> dict[Front, tuple[Backend, ...]]:
    """The addresses of a service that have endpoints (pure)."""
    if not service.cluster_ip or service.cluster_ip in _OWN:
        return {}
    return {
        Front(service.cluster_ip, port.protocol, port.port): port.backends
        for port in service.ports
        if port.backends and port.protocol in _PROTOCOLS
    }


class ServiceRules:
    """The rules in force. One writer."""

    def __init__(self, namespace: int) -> None:
        self._firewall = Firewall(namespace)
        self._chains: dict[Front, str] = {}
        self._owners: dict[Front, Key] = {}
        self._served: dict[Key, dict[Front, tuple[Backend, ...]]] = {}
        self._last = 0
        self.batches = 0  # for tests and benchmarks
        self.changed_fronts = 0
        self._firewall.commit(_foundation())

    def close(self) -> None:
        """Close the connection to the kernel; the rules stay."""
        self._firewall.close()

    def update(self, change: Change) -> None:
        """Put the changed services in force. Raises wire.NetlinkError."""
        # removals first: an address may go from one service to another
        steps = [
            (step, key, service) for step in (self._remove, self._put) for key, service in change.items()
        ]
        for start in range(0, len(steps), _AT_ONCE):
            batch = Batch()
            for step, key, service in steps[start : start + _AT_ONCE]:
                step(batch, key, service)
            if batch.changes:
                self._firewall.commit(batch)
                self.batches += 1

    def _remove(self, batch: Batch, key: Key, service: Service | None) -> None:
        wanted = fronts(service) if service else {}
        gone = [front for front in self._served.get(key, {}) if front not in wanted]
        for front in gone:
            chain = self._chains.pop(front)
            del self._owners[front]
            batch.remove(_TABLE, _MAP, [front.packed()]).flush_chain(_TABLE, chain).delete_chain(
                _TABLE, chain
            )
            del self._served[key][front]
        self.changed_fronts += len(gone)

    def _put(self, batch: Batch, key: Key, service: Service | None) -> None:
        if service is None:
            self._served.pop(key, None)
            return
        served = self._served.setdefault(key, {})
        for front, backends in fronts(service).items():
            if served.get(front) == backends or self._owners.setdefault(front, key) != key:
                continue  # nothing new, or the address of another service, which had it first
            self._write(batch, front, backends)
            served[front] = backends
            self.changed_fronts += 1

    def _write(self, batch: Batch, front: Front, backends: tuple[Backend, ...]) -> None:
        if front in self._chains:
            batch.flush_chain(_TABLE, self._chains[front])
            _balance(batch, self._chains[front], backends)
            return
        self._last += 1
        chain = self._chains[front] = f"svc_{self._last}"
        batch.chain(_TABLE, chain)
        _balance(batch, chain, backends)
        batch.add_verdicts(_TABLE, _MAP, [(front.packed(), exp.verdict_data(Verdict.GOTO, chain))])


def _balance(batch: Batch, chain: str, backends: tuple[Backend, ...]) -> None:
    """Send each connection to an endpoint chosen at random."""
    elements = [
        (struct.pack("=I", number), socket.inet_aton(ip) + struct.pack(">H", port) + b"\0\0")
        for number, (ip, port) in enumerate(backends)
    ]
    choices = batch.anonymous_map(_TABLE, 4, 8, elements)
    address = REGISTER + 4
    batch.rule(
        _TABLE,
        chain,
        exp.random(len(backends)),
        exp.lookup(ANONYMOUS, into=address, set_id=choices),
        exp.destination_nat(address, address + 1),
    )


def _foundation() -> Batch:
    """The table with everything but services; replaces what another node process may have left."""
    batch = Batch().table(_TABLE).delete_table(_TABLE).table(_TABLE)
    batch.verdict_map(_TABLE, _MAP, 12, key_type(TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT))
    look = (
        exp.network_header(16, 4, REGISTER),
        exp.network_header(9, 1, REGISTER + 1),
        exp.transport_header(2, 2, REGISTER + 2),
        exp.lookup(_MAP, REGISTER, into=0),
    )
    for hook in ("prerouting", "output"):
        batch.chain(_TABLE, hook, Hook(hook, -100)).rule(_TABLE, hook, *look)
    batch.set(_TABLE, _SELF, 8, key_type(TYPE_ADDRESS, TYPE_ADDRESS))
    batch.add(_TABLE, _SELF, [ip.packed * 2 for ip in PODS.hosts()])
    batch.chain(_TABLE, "postrouting", Hook("postrouting", 100))
    pair = (exp.network_header(12, 4, REGISTER), exp.network_header(16, 4, REGISTER + 1))
    batch.rule(_TABLE, "postrouting", *pair, exp.lookup(_SELF, REGISTER), exp.masquerade())
    return batch
