"""What one endpoint change costs istiod in a mesh of 1,000 services and 200 proxies.

    python -m bench.push [SERVICES] [PROXIES]

The code is istiod's own from the changed object to the last acknowledgement, over mTLS; the proxies are
gRPC clients in another process that acknowledge everything. CPU seconds are those of istiod's process.
"""

import asyncio
import logging
import os
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from bench._proxies import HOST
from linnet.ca.issue import Signer, pem, pem_key, self_signed, sign_leaf
from linnet.control_plane import grpc as grpc_port
from linnet.control_plane.identity import Identity, from_certificate
from linnet.control_plane.metrics import Metrics
from linnet.control_plane.plane import Plane
from linnet.control_plane.proxies import Proxies
from linnet.control_plane.settings import Address
from linnet.control_plane.tls import Contexts
from linnet.ingest import mesh
from linnet.xds.ads import Ads
from linnet.xds.transport import Caller

ROUNDS = 10
LIMIT = 0.100  # CPU seconds
Object = dict[str, Any]
SPIFFE = "spiffe://cluster.local/ns/bench/sa/default"


def service(number: int) -> Object:
    """A Service with one HTTP port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"svc-{number}", "namespace": "bench", "uid": str(number)},
        "spec": {
            "clusterIP": f"10.96.{number // 250}.{number % 250 + 1}",
            "clusterIPs": [f"10.96.{number // 250}.{number % 250 + 1}"],
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
            "selector": {"app": f"svc-{number}"},
        },
    }


def slice_of(number: int, *hosts: int) -> Object:
    """The EndpointSlice of a Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"svc-{number}-x",
            "namespace": "bench",
            "labels": {"kubernetes.io/service-name": f"svc-{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"10.{host}.{number // 250}.{number % 250 + 1}"], "conditions": {"ready": True}}
            for host in hosts
        ],
    }


def certificates() -> tuple[str, str, str, str, str]:
    """Root, istiod's chain and key, a proxy's chain and key."""
    now, root_key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    root = self_signed(
        root_key, "cluster.local", lifetime=timedelta(days=1), now=now, serial=x509.random_serial_number()
    )
    signer = Signer(root, root_key, (), pem(root))

    def leaf(name: x509.GeneralName) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        lifetime, serial = timedelta(hours=1), x509.random_serial_number()
        made = sign_leaf(key.public_key(), (name,), signer=signer, lifetime=lifetime, now=now, serial=serial)
        return made, pem_key(key)

    return (
        pem(root),
        *leaf(x509.DNSName(HOST)),
        *leaf(x509.UniformResourceIdentifier(SPIFFE)),
    )


async def identify(caller: Caller) -> Identity:
    """As istiod does with a certificate."""
    return from_certificate(caller.certificate, frozenset({"cluster.local"}))


async def run(services: int, proxies: int) -> bool:
    """Measure; whether the limit was kept."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    metrics = Metrics()
    plane = Plane(mesh.empty(), metrics)
    plane.advance(
        {("Service", "bench", f"svc-{n}"): service(n) for n in range(services)}
        | {("EndpointSlice", "bench", f"svc-{n}-x"): slice_of(n, 1, 2) for n in range(services)}
    )
    host = Proxies(plane, identify, metrics, lambda: True)
    root, chain, key, client_chain, client_key = certificates()
    contexts = Contexts()
    contexts.load(chain, key, root)
    async with grpc_port.serving([Ads(host, "bench")], Address(0, "127.0.0.1"), tls=contexts.grpc) as port:
        started = time.process_time(), time.perf_counter()
        environment = dict(os.environ, ROOT=root, CHAIN=client_chain, KEY=client_key)
        command = [sys.executable, "-m", "bench._proxies", str(port), str(proxies)]
        clients = await asyncio.create_subprocess_exec(*command, env=environment)
        try:
            await settled(host, proxies)
            plane.end_push()
            cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
            print(
                f"{proxies} proxies connected: {cpu:.2f} s CPU, {wall:.1f} s, "
                f"{plane.translator.computed} resources made, {len(host.lines)} line(s)"
            )
            return await changes(plane, host, services, proxies)
        finally:
            clients.kill()
            await clients.wait()


async def changes(plane: Plane, host: Proxies, services: int, proxies: int) -> bool:
    """One endpoint change after another."""
    spent = []
    for number in range(ROUNDS):
        computed, compared, pushes = plane.translator.computed, host.work.compared, sent(host)
        cpu, wall = time.process_time(), time.perf_counter()
        changed = slice_of(number, 1, 2, 3)
        plane.advance({("EndpointSlice", "bench", f"svc-{number}-x"): changed})
        host.push(host.clock())
        plane.end_push()
        pushed = time.process_time()
        await settled(host, proxies)
        done = time.process_time()
        spent.append(done - cpu)
        elapsed = time.perf_counter() - wall
        print(
            f"one endpoint change: {1000 * (done - cpu):.0f} ms CPU "
            f"({1000 * (pushed - cpu):.1f} ms to make it), {1000 * elapsed:.0f} ms in all; "
            f"resources made {plane.translator.computed - computed}, compared "
            f"{host.work.compared - compared} of {services}; responses {sent(host) - pushes:.0f}"
        )
    middle = statistics.median(spent)
    print(f"median {1000 * middle:.0f} ms CPU (limit {1000 * LIMIT:.0f})")
    return middle < LIMIT


def sent(host: Proxies) -> float:
    """Responses so far."""
    return sum(host.metrics.pushes.value(kind) for kind in ("cds", "eds", "lds", "rds", "sds"))


async def settled(host: Proxies, proxies: int) -> None:
    """Return when all proxies have acknowledged everything."""
    while len(host.seats) < proxies or not all(  # noqa: ASYNC110 (other processes decide)
        len(seat.connection.stream.watches) == 4 and seat.connection.stream.current
        for seat in host.seats.values()
    ):
        await asyncio.sleep(0.05)


def main() -> int:
    """0: within the limits."""
    services, proxies = (int(word) for word in (sys.argv[1:3] if len(sys.argv) > 2 else (1000, 200)))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return 0 if runner.run(run(services, proxies)) else 1


if __name__ == "__main__":
    sys.exit(main())
