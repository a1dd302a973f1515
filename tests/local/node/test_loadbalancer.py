"""Load balancers: real sockets on the loopback, statuses written to a real API server."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.kinds import SERVICE
from linnet.local.api.options import Options
from linnet.local.api.serve import running
from linnet.local.node.loadbalancer import Balancer, LoadBalancers
from linnet.local.node.service_table import Backend, Port, Service, Table
from linnet.local.node.splice import Side
from linnet.netlink import linux
from linnet.netlink.dial import connected

pytestmark = pytest.mark.wired
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def backend(ip: str) -> tuple[socket.socket, Backend]:
    made = socket.create_server((ip, 0))
    made.setblocking(False)
    return made, made.getsockname()


async def dial(ip: str, port: int) -> socket.socket:
    return await connected(None, ip, port, timeout=2)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of an API server of the test's own."""
    listening = socket.create_server(("127.0.0.1", 0))
    async with running(Options(tmp_path, (listening,), synchronous="OFF")):
        port = listening.getsockname()[1]
        read = {name: (tmp_path / "pki" / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key")}
        config = Config(f"https://127.0.0.1:{port}", read["ca.crt"], read["admin.crt"], read["admin.key"])
        async with Client(config) as made:
            yield made


@asynccontextmanager
async def serving(client: Client) -> AsyncIterator[LoadBalancers]:
    balancers = LoadBalancers(client, dial)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(balancers.run())
        yield balancers
        task.cancel()


def service(name: str, *backends: Backend, port: int) -> Service:
    ports = (Port("http", "TCP", port, 0, backends),)
    return Service("default", name, "LoadBalancer", "10.96.0.77", "", ports, (), load_balancer=True)


async def create(client: Client, name: str, port: int) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"name": "http", "port": port}]}
    await client.create(SERVICE, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})


async def address(client: Client, name: str, *, other_than: object = None) -> dict[str, object]:
    """The address in the status of a service, as soon as it is there."""
    async with asyncio.timeout(10):
        while True:
            found = await client.get(SERVICE, name, "default")
            ingress = found["status"].get("loadBalancer", {}).get("ingress")
            if ingress and ingress[0] != other_than:
                return ingress[0]
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.80.1", 0)) as made:
        return int(made.getsockname()[1])


async def test_address_in_the_status_reaches_an_endpoint(client: Client):
    """What the status names answers; endpoints are chosen per connection; old connections stay."""
    port = free_port()
    (one, first), (two, second) = backend("127.0.0.1"), backend("127.0.0.1")
    loop = asyncio.get_running_loop()
    await create(client, "web", port)
    async with serving(client) as balancers:
        balancers.update({("default", "web"): service("web", first, port=port)})
        told = await address(client, "web")
        assert told["ports"] == [{"port": port, "protocol": "TCP"}]
        old: Streams = await asyncio.open_connection(told["ip"], port)
        accepted, _ = await loop.sock_accept(one)
        balancers.update({("default", "web"): service("web", second, port=port)})
        async with asyncio.timeout(10):
            while True:  # until the change is in force
                new: Streams = await asyncio.open_connection(told["ip"], port)
                try:
                    fresh, _ = two.accept()
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.01)
                    new[1].close()
        await loop.sock_sendall(accepted, b"still here")
        assert await old[0].readexactly(10) == b"still here"
        for writer in (old[1], new[1]):
            writer.close()
    for made in (one, two, accepted, fresh):
        made.close()


async def test_no_endpoint_is_a_reset(client: Client):
    """A connection that nobody can serve ends at once; a dead endpoint is passed over."""
    port = free_port()
    alive, known = backend("127.0.0.1")
    dead, gone = backend("127.0.0.1")
    dead.close()
    await create(client, "web", port)
    async with serving(client) as balancers:
        balancers.update({("default", "web"): service("web", port=port)})
        told = await address(client, "web")
        reader, writer = await asyncio.open_connection(told["ip"], port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        balancers.update({("default", "web"): service("web", gone, known, port=port)})
        for _ in range(8):
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(told["ip"], port)
                writer.close()
    alive.close()


async def test_taken_address_gives_the_next_one(client: Client):
    """Where another cluster listens at the address and port, the next address is used."""
    port = free_port()
    with socket.create_server(("127.0.80.1", port)):
        await create(client, "web", port)
        async with serving(client) as balancers:
            balancers.update({("default", "web"): service("web", port=port)})
            assert (await address(client, "web"))["ip"] != "127.0.80.1"


async def test_table_tells_of_changes(client: Client):
    """The table joins Services and EndpointSlices and tells each change once."""
    told: asyncio.Queue[dict[tuple[str, str], Service | None]] = asyncio.Queue()
    table = Table(client, (told.put_nowait,))
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(table.run())
        await table.synced.wait()
        await create(client, "web", 80)
        change = await told.get()
        while ("default", "web") not in change:
            change = await told.get()
        made = change["default", "web"]
        assert made is not None
        assert (made.kind, made.load_balancer, made.ports[0].backends) == ("LoadBalancer", True, ())
        await client.delete(SERVICE, "web", "default")
        while change.get(("default", "web"), made) is not None:
            change = await told.get()
        task.cancel()


async def pair() -> tuple[Streams, Streams]:
    """Two streams whose other ends are joined."""
    loop = asyncio.get_running_loop()
    ends = [socket.socketpair() for _ in range(2)]
    one, two = Side(), Side()
    one.other, two.other = two, one
    for side, (_, inner) in zip((one, two), ends, strict=True):
        await loop.create_connection(lambda side=side: side, sock=inner)
    first, second = [await asyncio.open_connection(sock=outer) for outer, _ in ends]
    return first, second


async def test_no_byte_is_lost_and_half_closes_pass():
    """Megabytes in both directions at once, each ended by a half-close, arrive whole."""
    (reader_a, writer_a), (reader_b, writer_b) = await pair()
    data = bytes(range(256)) * 16_384

    async def send(writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
            await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(send(writer_a))
        got_b = tasks.create_task(reader_b.read())
        await got_b
        tasks.create_task(send(writer_b))  # only now: the other direction outlives the first
        got_a = tasks.create_task(reader_a.read())
    assert got_a.result() == got_b.result() == data
    for writer in (writer_a, writer_b):
        writer.close()


async def test_slow_reader_stops_the_writer():
    """What a reader does not take is not piled up in memory."""
    (_, writer), (_, other) = await pair()
    sent = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            while sent < 64 * 2**20:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
    assert sent < 8 * 2**20
    writer.transport.abort()
    other.transport.abort()


async def test_end_of_one_side_ends_the_other():
    """When a side is gone, the other one is closed."""
    (_, writer), (reader, other) = await pair()
    writer.transport.abort()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    other.close()


def test_port_without_the_right_to_it():
    """Who may not listen below 1024 is served 8000 higher, and the status says so."""
    if os.geteuid() == 0 and Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text() == "0\n":
        pytest.skip("every port is everybody's here")

    async def ports() -> tuple[int, str]:
        balancers = LoadBalancers(Client(Config("https://127.0.0.1:1")), dial)
        asked = service("web", port=81)
        balancer = Balancer(balancers._choose(asked))
        await balancers._listen(asked, balancer)
        listener = balancer.listeners[81]
        listener.close()
        return listener.port, balancers._ingress(asked, balancer).ports[0].error

    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        linux.set_capabilities(0)
        try:
            os.write(writable, repr(asyncio.run(ports())).encode())
        finally:
            os._exit(0)
    os.close(writable)
    os.waitpid(pid, 0)
    with os.fdopen(readable) as answer:
        assert answer.read() == "(8081, 'linnet.io/ServedOnPort-8081')"
