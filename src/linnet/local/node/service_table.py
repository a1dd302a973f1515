"""Services with their endpoints, kept current; whoever serves them hears of each that changed and no other.

Service, EndpointSlice ── mirrors ──▶ Table ── changed services ──▶ rules, cluster DNS, load balancers
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.kinds import ENDPOINT_SLICE, SERVICE
from linnet.kube.mirror import Key, Mirror, key_of

Object = dict[str, Any]
Backend = tuple[str, int]  # ip, port

_SERVICE_NAME = "kubernetes.io/service-name"


class Port(Struct, frozen=True):
    """A port of a service, and where connections to it go. `backends` are sorted."""

    name: str
    protocol: str  # TCP, UDP
    port: int
    node_port: int
    backends: tuple[Backend, ...]


class Member(Struct, frozen=True):
    """A ready endpoint of a service, for DNS. `ports`: (name, protocol, port)."""

    ip: str
    hostname: str
    ports: tuple[tuple[str, str, int], ...]


class IngressPort(Struct, frozen=True, omit_defaults=True):
    """How a port of a load balancer is served; `error` is empty when as asked for."""

    port: int
    protocol: str = ""
    error: str = ""


class Ingress(Struct, frozen=True, omit_defaults=True):
    """An address of a load balancer, as in a Service's status."""

    ip: str
    ipMode: str = ""  # noqa: N815 (as in the API)
    ports: tuple[IngressPort, ...] = ()


class Service(Struct, frozen=True):
    """A service as the node sees it."""

    namespace: str
    name: str
    kind: str  # spec.type
    cluster_ip: str  # empty: headless or ExternalName
    external_name: str
    ports: tuple[Port, ...]
    members: tuple[Member, ...]
    ingress: tuple[Ingress, ...] = ()  # status.loadBalancer.ingress
    load_balancer: bool = False

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


Change = dict[Key, Service | None]  # None: deleted


def service_of(obj: Object, slices: Iterable[Object]) -> Service:
    """What the node serves for a Service and its EndpointSlices (pure).

    Connections go to ready endpoints; if there are none, to terminating ones that still serve.
    Source: Kubernetes, "Service: traffic to terminating endpoints".
    """
    spec: Object = obj["spec"]
    kind = spec.get("type", "ClusterIP")
    ip = spec.get("clusterIP", "")
    present = list(slices)
    ports = tuple(_port(port, present) for port in spec.get("ports") or ())
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return Service(
        namespace=obj["metadata"]["namespace"],
        name=obj["metadata"]["name"],
        kind=kind,
        cluster_ip="" if ip == "None" or kind == "ExternalName" else ip,
        external_name=spec.get("externalName", "") if kind == "ExternalName" else "",
        ports=ports,
        members=tuple(sorted(_members(present), key=lambda member: (member.ip, member.hostname))),
        ingress=tuple(
            Ingress(
                entry.get("ip", ""),
                entry.get("ipMode", ""),
                tuple(
                    IngressPort(port["port"], port.get("protocol", ""), port.get("error", ""))
                    for port in entry.get("ports") or ()
                ),
            )
            for entry in ingress
        ),
        load_balancer=kind == "LoadBalancer" and not spec.get("loadBalancerClass"),
    )


def _port(port: Object, slices: list[Object]) -> Port:
    name, protocol = port.get("name", ""), port.get("protocol", "TCP")
    ready: set[Backend] = set()
    leaving: set[Backend] = set()
    for item in slices:
        numbers = [
            entry["port"]
            for entry in item.get("ports") or ()
            if (entry.get("name") or "") == name
            and entry.get("protocol", "TCP") == protocol
            and entry.get("port")
        ]
        for endpoint in item.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready", True):
                into = ready
            elif conditions.get("serving") and conditions.get("terminating"):
                into = leaving
            else:
                continue
            addresses = filter(_valid, endpoint["addresses"])
            into.update((address, number) for address in addresses for number in numbers)
    backends = tuple(sorted(ready or leaving))
    return Port(name, protocol, port["port"], port.get("nodePort", 0), backends)


def _members(slices: list[Object]) -> Iterator[Member]:
    for item in slices:
        ports = tuple(
            (port.get("name") or "", port.get("protocol", "TCP"), port.get("port") or 0)
            for port in item.get("ports") or ()
        )
        for endpoint in item.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready", True):
                for address in filter(_valid, endpoint["addresses"]):
                    yield Member(address, endpoint.get("hostname") or "", ports)


@lru_cache(maxsize=4096)
def _valid(address: str) -> bool:
    """Whether it is an IPv4 address: what users wrote into an EndpointSlice harms only their service."""
    try:
        IPv4Address(address)
    except ValueError:
        return False
    return True


class Table:
    """Follows Services and EndpointSlices. `listeners` are called in order with what changed."""

    def __init__(self, client: Client, listeners: Iterable[Callable[[Change], None]]) -> None:
        self._services = Mirror(client, SERVICE, on_change=self._service_changed)
        self._slices = Mirror(client, ENDPOINT_SLICE, on_change=self._slice_changed)
        self._listeners = tuple(listeners)
        self._of: dict[Key, dict[Key, Object]] = {}  # service -> its slices
        self._current: dict[Key, Service] = {}
        self._dirty: set[Key] = set()
        self._changed = asyncio.Event()
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Keep everybody current, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._services.run(), name="services")
            tasks.create_task(self._slices.run(), name="endpointslices")
            await self._services.synced.wait()
            await self._slices.synced.wait()
            while True:
                self._tell()
                self.synced.set()
                await self._changed.wait()

    def _tell(self) -> None:
        self._changed.clear()
        dirty, self._dirty = self._dirty, set()
        change: Change = {}
        for key in dirty:
            obj = self._services.get(key)
            new = service_of(obj, self._of.get(key, {}).values()) if obj else None
            if new != self._current.get(key):
                change[key] = new
                if new is None:
                    del self._current[key]
                else:
                    self._current[key] = new
        if change:
            for listener in self._listeners:
                listener(change)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        changed = new or old
        assert changed is not None
        self._mark(key_of(changed))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for obj, present in ((old, False), (new, True)):
            if obj is None:
                continue
            name = (obj["metadata"].get("labels") or {}).get(_SERVICE_NAME)
            if not name or obj.get("addressType", "IPv4") != "IPv4":
                continue
            key = obj["metadata"]["namespace"], name
            if present:
                self._of.setdefault(key, {})[key_of(obj)] = obj
            else:
                self._of.get(key, {}).pop(key_of(obj), None)
            if not self._of.get(key):
                self._of.pop(key, None)
            self._mark(key)

    def _mark(self, key: Key) -> None:
        self._dirty.add(key)
        self._changed.set()
