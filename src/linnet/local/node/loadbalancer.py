"""LoadBalancer services: an address of this machine's loopback each, spliced into the pod network.

127.0.80.N:port on the host ── accept ── a ready endpoint, chosen per connection ── splice ──▶ pod
"""

import asyncio
import errno
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import msgspec
import structlog

from linnet.kube.client import Client
from linnet.kube.errors import ApiError, Conflict, NotFound
from linnet.kube.kinds import SERVICE
from linnet.kube.mirror import Key
from linnet.local.node.service_table import Backend, Change, Ingress, IngressPort, Service
from linnet.local.node.splice import Side, reset
from linnet.netlink.namespaces import listener_in

FIRST = IPv4Address("127.0.80.1")
_COUNT = 250
_SHIFT = (
    8000  # a port that we have no right to is served that much higher. Source: decision D25 of the design
)
_PRIVILEGED = 1024
_ATTEMPTS = 3
_DIAL_TIMEOUT = 3.0  # seconds, for each attempt
_WRITE_TIMEOUT = 10.0  # seconds for a status
_RETRY = 2.0  # seconds until a status that could not be written is tried again

Dial = Callable[[str, int], Awaitable[socket.socket]]
log = structlog.get_logger("loadbalancer")


@dataclass(slots=True)
class Listener:
    """A port of a load balancer."""

    port: int  # where it listens
    backends: tuple[Backend, ...] = ()
    server: asyncio.Server | None = None

    def close(self) -> None:
        """Accept nothing more."""
        if self.server:
            self.server.close()


@dataclass(slots=True)
class Balancer:
    """What is served for a service."""

    ip: str
    listeners: dict[int, Listener] = field(default_factory=dict)  # by the port of the service


class LoadBalancers:
    """Serves the LoadBalancer services that `update` tells of; `run` until cancelled."""

    def __init__(self, client: Client, dial: Dial) -> None:
        self._client = client
        self._dial = dial
        self._services: dict[Key, Service] = {}
        self._balancers: dict[Key, Balancer] = {}
        self._dirty: set[Key] = set()
        self._changed = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def update(self, change: Change) -> None:
        """Take changed services."""
        for key, service in change.items():
            if service is None:
                self._services.pop(key, None)
            else:
                self._services[key] = service
            self._dirty.add(key)
        self._changed.set()

    async def run(self) -> None:
        """Listen, splice and write statuses."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    dirty, self._dirty = self._dirty, set()
                    for key in sorted(dirty, key=self._order):
                        await self._settle(key)
            finally:
                for key in list(self._balancers):
                    self._close(key)

    def _order(self, key: Key) -> tuple[bool, Key]:
        """Services that have an address keep it: they come first."""
        service = self._services.get(key)
        return not (service and service.ingress), key

    async def _settle(self, key: Key) -> None:
        service = self._services.get(key)
        if service is None or not service.load_balancer:
            self._close(key)
            if service is not None and service.ingress and service.kind != "LoadBalancer":
                await self._write(service, ())
            return
        balancer = self._balancers.get(key)
        if balancer is None:
            balancer = self._balancers[key] = Balancer(self._choose(service))
        await self._listen(service, balancer)
        await self._write(service, (self._ingress(service, balancer),))

    def _choose(self, service: Service) -> str:
        """The address that the service has had, else the first free one on which its ports can be had."""
        used = {balancer.ip for balancer in self._balancers.values()}
        had = [entry.ip for entry in service.ingress if entry.ip.startswith("127.0.")]
        candidates = had + [str(FIRST + number) for number in range(_COUNT)]
        free = [ip for ip in candidates if ip not in used]
        for ip in free:
            if all(_can_have(ip, port.port) for port in service.ports if port.protocol == "TCP"):
                return ip
        return free[0]

    async def _listen(self, service: Service, balancer: Balancer) -> None:
        wanted = {port.port: port for port in service.ports if port.protocol == "TCP"}
        for number in [number for number in balancer.listeners if number not in wanted]:
            balancer.listeners.pop(number).close()
        for number, port in wanted.items():
            listener = balancer.listeners.get(number)
            if listener is None:
                listener = await self._open(balancer.ip, number)
                if listener is None:
                    continue
                balancer.listeners[number] = listener
            listener.backends = port.backends

    async def _open(self, ip: str, number: int) -> Listener | None:
        for port in _ports_for(number):
            try:
                bound = listener_in(None, ip, port)
            except PermissionError:
                continue
            except OSError as error:
                log.warning("cannot listen", address=f"{ip}:{port}", error=error.strerror)
                return None
            listener = Listener(port)
            listener.server = await asyncio.get_running_loop().create_server(
                partial(_Client, listener, self._join), sock=bound, backlog=1024
            )
            return listener
        return None

    def _join(self, client: "_Client") -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._connect(client))

    async def _connect(self, client: "_Client") -> None:
        """Connect a client to an endpoint; reset it if there is none."""
        upstream = await self._reach(client.listener.backends)
        transport = client.transport
        if transport is None or upstream is None:
            if transport:
                reset(transport)
            if upstream:
                upstream.close()
            return
        side = Side()
        side.other, client.other = client, side
        await asyncio.get_running_loop().create_connection(lambda: side, sock=upstream)
        if client.transport is None:  # it has gone meanwhile
            if side.transport:
                side.transport.close()
            return
        transport.resume_reading()

    async def _reach(self, backends: tuple[Backend, ...]) -> socket.socket | None:
        attempts = random.sample(backends, min(_ATTEMPTS, len(backends)))
        for ip, port in attempts:
            with suppress(OSError, TimeoutError):  # then the next one
                async with asyncio.timeout(_DIAL_TIMEOUT):
                    return await self._dial(ip, port)
        return None

    def _ingress(self, service: Service, balancer: Balancer) -> Ingress:
        ports = []
        for port in service.ports:
            listener = balancer.listeners.get(port.port) if port.protocol == "TCP" else None
            if port.protocol != "TCP":
                error = "linnet.io/ProtocolNotServed"
            elif listener is None:
                error = "linnet.io/PortInUse"
            elif listener.port != port.port:
                error = f"linnet.io/ServedOnPort-{listener.port}"
            else:
                error = ""
            ports.append(IngressPort(port.port, port.protocol, error))
        return Ingress(balancer.ip, "VIP", tuple(ports))

    async def _write(self, service: Service, ingress: tuple[Ingress, ...]) -> None:
        if service.ingress == ingress:
            return
        balancer: dict[str, Any] = {"ingress": msgspec.to_builtins(ingress) or None}
        status = {"status": {"loadBalancer": balancer}}
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT):
                await self._client.patch(
                    SERVICE, service.name, service.namespace, status, subresource="status"
                )
        except (NotFound, Conflict):
            return  # news of it are on their way
        except ApiError as error:
            log.warning("cannot write the status", service="/".join(service.key), error=str(error))
            self._retry(service.key)
        except (OSError, TimeoutError):
            self._retry(service.key)

    def _retry(self, key: Key) -> None:
        def again() -> None:
            self._dirty.add(key)
            self._changed.set()

        asyncio.get_running_loop().call_later(_RETRY, again)

    def _close(self, key: Key) -> None:
        """Stop listening; connections that are there live on."""
        balancer = self._balancers.pop(key, None)
        if balancer:
            for listener in balancer.listeners.values():
                listener.close()


class _Client(Side):
    """A connection from the host; it is not read before an endpoint has been found."""

    def __init__(self, listener: Listener, join: Callable[["_Client"], None]) -> None:
        super().__init__()
        self.listener = listener
        self._join = join

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._join(self)


def _ports_for(number: int) -> Iterator[int]:
    yield number
    if number < _PRIVILEGED:
        yield number + _SHIFT


def _can_have(ip: str, number: int) -> bool:
    """Whether a port (or its replacement, without the right to it) can be listened on."""
    for port in _ports_for(number):
        try:
            listener_in(None, ip, port).close()
        except OSError as error:
            if error.errno == errno.EACCES:
                continue
            return False
        return True
    return False
