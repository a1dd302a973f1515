"""Cluster DNS: sockets at 10.96.0.10:53 that answer from the zone, or ask the host's resolvers."""

import asyncio
import random
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from linnet.local.node.dns_wire import Code, Malformed, Query, encode, failure, parse
from linnet.local.node.network import DNS_IP
from linnet.local.node.zone import DOMAIN, Zone
from linnet.netlink.namespaces import listener_in, socket_in

_PORT = 53
_UPSTREAM_TIMEOUT = 2.0  # seconds, for each resolver
_LARGEST = 65535
_MAX_WAITING = 200  # queries that wait for the host's resolvers; more are refused

Respond = Callable[[bytes], None]


def resolv_conf(namespace: str) -> str:
    """The /etc/resolv.conf of a pod with dnsPolicy ClusterFirst."""
    search = f"{namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
    return f"search {search}\nnameserver {DNS_IP}\noptions ndots:5\n"


def host_resolvers(path: str = "/etc/resolv.conf") -> tuple[str, ...]:
    """The IPv4 name servers of this machine."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple(
        word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and ":" not in word[1]
    )


class Dns:
    """Answers queries; `serve` runs until cancelled."""

    def __init__(self, namespace: int, zone: Zone, resolvers: tuple[str, ...]) -> None:
        self._namespace = namespace
        self._zone = zone
        self._resolvers = resolvers
        self._waiting: asyncio.TaskGroup | None = None
        self._slots = _MAX_WAITING

    async def serve(self, *, host: str = DNS_IP, port: int = _PORT) -> None:
        """Serve UDP and TCP in the node's namespace. Raises OSError when the address is taken."""
        datagrams = socket_in(self._namespace, kind=socket.SOCK_DGRAM)
        datagrams.bind((host, port))
        listener = listener_in(self._namespace, host, port)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            self._waiting = tasks
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
            server = await asyncio.start_server(self._serve_stream, sock=listener)
            try:
                await asyncio.Event().wait()
            finally:
                transport.close()
                server.close()

    def take(self, packet: bytes, respond: Respond) -> None:
        """Answer a query that came in a datagram, now or when a resolver of the host has answered."""
        try:
            query = parse(packet)
        except Malformed:
            return
        known = self._known(query, query.size)
        if known is not None:
            respond(known)
        elif not self._resolvers or self._slots == 0 or self._waiting is None:
            respond(failure(query, Code.NO_NAME if not self._resolvers else Code.FAILED))
        else:
            self._slots -= 1
            self._waiting.create_task(self._forward(query, packet, respond))

    def _known(self, query: Query, limit: int) -> bytes | None:
        if "." not in query.name:
            return failure(query, Code.NO_NAME)
        answer = self._zone.answer(query.name, query.type)
        return None if answer is None else encode(query, answer, zone=DOMAIN, limit=limit)

    async def _forward(self, query: Query, packet: bytes, respond: Respond) -> None:
        try:
            respond(await self._ask(query, packet, _ask_by_datagram))
        finally:
            self._slots += 1

    async def _ask(self, query: Query, packet: bytes, ask: Callable[[str, bytes], Awaitable[bytes]]) -> bytes:
        for resolver in self._resolvers:
            try:
                async with asyncio.timeout(_UPSTREAM_TIMEOUT):
                    return await ask(resolver, packet)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue  # the next one may know
        return failure(query, Code.FAILED)

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = struct.unpack(">H", await reader.readexactly(2))[0]
                packet = await reader.readexactly(length)
                query = parse(packet)
                answer = self._known(query, _LARGEST)
                if answer is None:
                    answer = await self._ask(query, packet, _ask_by_stream)
                writer.write(struct.pack(">H", len(answer)) + answer)
                await writer.drain()
        except (OSError, Malformed, asyncio.IncompleteReadError):
            pass  # the client has gone, or speaks something else
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, dns: Dns) -> None:
        self._dns = dns
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        transport = self._transport
        assert transport is not None
        self._dns.take(data, lambda answer: transport.sendto(answer, addr))


async def _ask_by_datagram(resolver: str, packet: bytes) -> bytes:
    """Ask under a number of our own, so that nobody else's answer is taken for it."""
    loop = asyncio.get_running_loop()
    number = struct.pack(">H", random.SystemRandom().randrange(1 << 16))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        await loop.sock_connect(asking, (resolver, _PORT))
        await loop.sock_sendall(asking, number + packet[2:])
        while True:
            answer = await loop.sock_recv(asking, _LARGEST)
            if answer[:2] == number:
                return packet[:2] + answer[2:]


async def _ask_by_stream(resolver: str, packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(resolver, _PORT)
    try:
        writer.write(struct.pack(">H", len(packet)) + packet)
        length = struct.unpack(">H", await reader.readexactly(2))[0]
        return await reader.readexactly(length)
    finally:
        writer.close()
