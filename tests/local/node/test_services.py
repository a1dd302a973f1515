"""Services as rules of the real kernel, and cluster DNS over real sockets."""

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest

from linnet.local.node.dns import Dns
from linnet.local.node.dns_wire import address_data
from linnet.local.node.network import Network
from linnet.local.node.runtime import SandboxSpec
from linnet.local.node.sandboxes import LocalSandboxes
from linnet.local.node.service_table import Backend, Port, Service
from linnet.local.node.services import ServiceRules
from linnet.local.node.zone import Zone
from linnet.netlink.namespaces import inside, socket_in

pytestmark = pytest.mark.wired
VIP = "10.96.5.5"


def service(name: str, ip: str, *ports: tuple[int, tuple[Backend, ...]], protocol: str = "TCP") -> Service:
    made = tuple(Port(str(number), protocol, number, 0, backends) for number, backends in ports)
    return Service("default", name, "ClusterIP", ip, "", made, ())


@pytest.fixture
def rules(namespace: int) -> Iterator[ServiceRules]:
    made = ServiceRules(namespace)
    yield made
    made.close()


async def served(network: Network, port: int = 80) -> bool:
    try:
        (await network.dial(VIP, port, timeout=2)).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_life_of_a_service(rules: ServiceRules, network: Network, sandboxes: LocalSandboxes, spec, run):
    """A service is reached from node and pods, also by the pod behind it; without endpoints it refuses."""
    one, two = await sandboxes.create(spec), await sandboxes.create(spec)
    connect = ("bash", "-c", f"exec 3<>/dev/tcp/{VIP}/80")
    assert not await served(network)
    with one.listen(8080):
        rules.update({("default", "web"): service("web", VIP, (80, ((one.ip, 8080),)))})
        assert await served(network)
        assert (await run(two, *connect))[0] == 0
        assert (await run(one, *connect))[0] == 0  # itself
        assert not await served(network, 81)
        rules.update({("default", "web"): service("web", VIP, (80, ()))})
        assert not await served(network)
        code, text = await run(two, *connect)
        assert code != 0
        assert "refused" in text
    rules.update({("default", "web"): None})
    for sandbox in (one, two):
        await sandbox.destroy()


async def test_connections_spread_over_endpoints(rules: ServiceRules, network: Network, sandboxes, spec):
    """Every endpoint gets connections."""
    pods = [await sandboxes.create(spec) for _ in range(3)]
    listeners = [pod.listen(80) for pod in pods]
    rules.update({("default", "web"): service("web", VIP, (80, tuple((pod.ip, 80) for pod in pods)))})
    for _ in range(60):
        assert await served(network)
    for listener in listeners:
        listener.accept()[0].close()  # raises BlockingIOError when nobody came
        listener.close()
    for pod in pods:
        await pod.destroy()


async def test_datagrams(rules: ServiceRules, namespace: int, sandboxes: LocalSandboxes, spec: SandboxSpec):
    """UDP is served too."""
    pod = await sandboxes.create(spec)
    loop = asyncio.get_running_loop()
    with socket_in(pod._namespace, kind=socket.SOCK_DGRAM) as inside_pod:
        inside_pod.bind(("0.0.0.0", 5000))
        ports = (53, ((pod.ip, 5000),))
        rules.update({("default", "dns"): service("dns", VIP, ports, protocol="UDP")})
        with socket_in(namespace, kind=socket.SOCK_DGRAM) as client:
            client.connect((VIP, 53))
            client.send(b"hello")
            async with asyncio.timeout(2):
                assert await loop.sock_recv(inside_pod, 100) == b"hello"
    await pod.destroy()


def test_change_costs_what_changed(rules: ServiceRules):
    """One service of a thousand costs one batch with one port; nothing changed costs nothing."""
    many = {
        ("default", f"s{n}"): service(
            f"s{n}", f"10.96.{1 + n // 250}.{n % 250 + 1}", (80, (("10.244.0.2", 80),))
        )
        for n in range(1000)
    }
    rules.update(many)
    before = rules.batches, rules.changed_fronts
    key = ("default", "s500")
    rules.update({key: service("s500", "10.96.3.1", (80, (("10.244.0.3", 80),)))})
    assert (rules.batches - before[0], rules.changed_fronts - before[1]) == (1, 1)
    rules.update({key: service("s500", "10.96.3.1", (80, (("10.244.0.3", 80),)))})
    assert rules.changed_fronts - before[1] == 1


def test_address_moves_from_one_service_to_another(rules: ServiceRules):
    """In one change, whatever the order, and after a restart of the node."""
    first = service("a", VIP, (80, (("10.244.0.2", 80),)))
    rules.update({("default", "a"): first})
    rules.update({("default", "b"): service("b", VIP, (80, (("10.244.0.3", 80),))), ("default", "a"): None})
    rules.update({("default", "a"): first, ("default", "b"): None})
    rules.update({("default", "thief"): service("thief", VIP, (80, (("10.244.0.9", 80),)))})  # keeps nothing
    rules.update({("default", "a"): None})
    rules.update({("default", "thief"): None})


def test_node_that_starts_again_begins_afresh(rules: ServiceRules, namespace: int):
    """Rules of an earlier node process are replaced."""
    rules.update({("default", "a"): service("a", VIP, (80, (("10.244.0.2", 80),)))})
    again = ServiceRules(namespace)
    again.update({("default", "a"): service("a", VIP, (80, (("10.244.0.3", 80),)))})
    again.close()


def query(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


async def test_dns_by_both_transports(namespace: int):
    """Datagrams and streams get the same answer; foreign names without a resolver are denied quickly."""
    zone = Zone()
    zone.update({("default", "web"): service("web", VIP, (80, ()))})
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(Dns(namespace, zone, ()).serve())
        await asyncio.sleep(0)
        with socket_in(namespace, kind=socket.SOCK_DGRAM) as client:
            client.connect(("10.96.0.10", 53))
            client.send(query("web.default.svc.cluster.local"))
            datagram = await loop.sock_recv(client, 1000)
            client.send(query("example.org"))
            assert (await loop.sock_recv(client, 1000))[3] & 0xF == 3
            client.send(b"nonsense")
            client.send(query("web"))
            assert (await loop.sock_recv(client, 1000))[3] & 0xF == 3
        assert address_data(VIP) in datagram
        with inside(namespace):
            stream = socket.create_connection(("10.96.0.10", 53))
        reader, writer = await asyncio.open_connection(sock=stream)
        packet = query("web.default.svc.cluster.local")
        writer.write(struct.pack(">H", len(packet)) + packet)
        length = struct.unpack(">H", await reader.readexactly(2))[0]
        assert await reader.readexactly(length) == datagram
        writer.close()
        serving.cancel()
