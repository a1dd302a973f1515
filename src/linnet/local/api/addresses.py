"""Cluster IPs and node ports of Services: chosen when the Service is created, unique while it exists."""

import ipaddress
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from linnet.local.api.causes import Cause, invalid, shown
from linnet.local.api.records import Event
from linnet.local.api.store import Store

Json = dict[str, Any]

_NODE_PORTS = range(30_000, 32_768)
# Addresses below are for people who choose their own. Source: Kubernetes, static band of a service range.
_STATIC = 256
_DNS = 10  # the address of the cluster's DNS, which serves without a Service


class Refusal(Exception):
    """The wanted address or port cannot be had."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.message)
        self.cause = cause


@dataclass(slots=True)
class Addresses:
    """What Services hold, kept in step with the store."""

    store: Store
    network: ipaddress.IPv4Network
    _ips: dict[str, str] = field(default_factory=dict)  # address -> key of the Service
    _ports: dict[int, str] = field(default_factory=dict)
    _random: random.Random = field(default_factory=random.SystemRandom)

    def __post_init__(self) -> None:
        self._ips[str(self.network[_DNS])] = ""
        for record in self.store.records("services"):
            self._take(record.key, record.load())
        self.store.follow("services", self._changed)

    @contextmanager
    def assigned(self, key: str, service: Json, old: Json | None) -> Iterator[None]:
        """Fill in the addresses of a Service; reserved until the block ends, then the store decides.

        Raises: Refusal.
        """
        ips, ports = set(self._ips), set(self._ports)
        try:
            self._assign(key, service, old)
            yield
        finally:
            for ip in set(self._ips) - ips:
                self._settle(self._ips, ip, key, _ips_of)
            for port in set(self._ports) - ports:
                self._settle(self._ports, port, key, _ports_of)

    def _settle(
        self, taken: dict[Any, str], value: Any, key: str, of: Callable[[Json], Iterator[Any]]
    ) -> None:
        record = self.store.latest(key)
        if taken.get(value) == key and (record is None or value not in of(record.load())):
            del taken[value]

    def _assign(self, key: str, service: Json, old: Json | None) -> None:
        spec = service["spec"]
        kind = spec.get("type", "ClusterIP")
        if kind == "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(name, None)
            return
        self._assign_ip(key, spec, old)
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)):
            self._assign_ports(key, spec, old)
        if kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            held = (old or {}).get("spec", {}).get("healthCheckNodePort")
            spec.setdefault("healthCheckNodePort", held or self._free_port(key))

    def _assign_ip(self, key: str, spec: Json, old: Json | None) -> None:
        before = (old or {}).get("spec", {})
        if not spec.get("clusterIP") and spec.get("clusterIPs"):
            spec["clusterIP"] = spec["clusterIPs"][0]
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        wanted = spec.get("clusterIP")
        if wanted == "None":
            spec["clusterIPs"] = ["None"]
            return
        if wanted:
            if not before.get("clusterIP"):
                self._claim(key, wanted)  # an address that is there stays: the checks see to that
        else:
            spec["clusterIP"] = self._free_ip(key)
        spec["clusterIPs"] = [spec["clusterIP"]]

    def _claim(self, key: str, wanted: str) -> None:
        try:
            address = ipaddress.IPv4Address(wanted)
        except ValueError:
            return  # the checks say what is wrong with it
        text = f"failed to allocate IP {wanted}: "
        if address not in self.network:
            why = f"the provided IP ({wanted}) is not in the valid range. "
            why += f"The range of valid IPs is {self.network}"
            raise Refusal(_listed("spec.clusterIPs", wanted, text + why))
        if self._ips.get(wanted, key) != key:
            raise Refusal(_listed("spec.clusterIPs", wanted, text + "provided IP is already allocated"))
        self._ips[wanted] = key

    def _free_ip(self, key: str) -> str:
        size = self.network.num_addresses
        if len(self._ips) >= size - _STATIC - 2:
            raise Refusal(invalid("spec.clusterIPs", [], "failed to allocate a serviceIP: range is full"))
        while True:
            address = str(self.network[self._random.randrange(_STATIC, size - 1)])
            if address not in self._ips:
                self._ips[address] = key
                return address

    def _assign_ports(self, key: str, spec: Json, old: Json | None) -> None:
        before = {
            _port_key(port): port.get("nodePort") for port in (old or {}).get("spec", {}).get("ports", ())
        }
        for at, port in enumerate(spec.get("ports") or ()):
            wanted = port.get("nodePort")
            if not wanted:
                port["nodePort"] = before.get(_port_key(port)) or self._free_port(key)
                continue
            where = f"spec.ports[{at}].nodePort"
            if wanted not in _NODE_PORTS:
                why = f"provided port is not in the valid range. The range of valid ports is {_shown_ports()}"
                raise Refusal(invalid(where, wanted, why))
            if self._ports.get(wanted, key) != key:
                raise Refusal(invalid(where, wanted, "provided port is already allocated"))
            self._ports[wanted] = key

    def _free_port(self, key: str) -> int:
        free = [port for port in _NODE_PORTS if port not in self._ports]
        if not free:
            raise Refusal(invalid("spec.ports", 0, "failed to allocate a nodePort: range is full"))
        port = self._random.choice(free)
        self._ports[port] = key
        return port

    def _changed(self, event: Event) -> None:
        key = event.record.key
        service = event.record.load()
        if event.before is not None:
            before = event.before.load()
            now: Json = {} if event.change == "DELETED" else service
            for ip in set(_ips_of(before)) - set(_ips_of(now)):
                self._ips.pop(ip, None)
            for port in set(_ports_of(before)) - set(_ports_of(now)):
                self._ports.pop(port, None)
        if event.change != "DELETED":
            self._take(key, service)

    def _take(self, key: str, service: Json) -> None:
        self._ips.update(dict.fromkeys(_ips_of(service), key))
        self._ports.update(dict.fromkeys(_ports_of(service), key))


def _ips_of(service: Json) -> Iterator[str]:
    return (ip for ip in service.get("spec", {}).get("clusterIPs") or () if ip != "None")


def _ports_of(service: Json) -> Iterator[int]:
    spec = service.get("spec", {})
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port["nodePort"]


def _port_key(port: Json) -> tuple[Any, ...]:
    return port.get("name", ""), port.get("port"), port.get("protocol", "TCP")


def _listed(field: str, value: str, why: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: [{shown(value)}]: {why}")


def _shown_ports() -> str:
    return f"{_NODE_PORTS.start}-{_NODE_PORTS.stop - 1}"
