"""Decision D23: every replica of a service is replaced under load, and no request fails.

    load ─▶ client's Envoy ══mTLS══▶ Envoy of replica 1..3 ─▶ echo

What the cluster would do is done here in its order: the new pod is ready, its endpoint is added; the old
pod's hooks begin, its endpoint is removed a while later; when the hooks have answered, SIGTERM to both.
"""

import asyncio
import sys
from datetime import UTC, datetime

import pytest
from google.protobuf import json_format

from linnet.envoy.messages import Cluster, ClusterLoadAssignment, Listener
from linnet.envoy.pool import pool
from linnet.local.workloads import load
from linnet.local.workloads.record import Record
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER
from linnet.proxy.bootstrap import sds_config

pytestmark = pytest.mark.envoy

T = "type.googleapis.com/envoy.extensions."
ADS = {"ads": {}, "resource_api_version": "V3"}


def made(kind, content):
    return json_format.ParseDict(content, kind(), descriptor_pool=pool())


def common_tls() -> dict:
    return {
        "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": sds_config()}],
        "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": sds_config()},
        "alpn_protocols": ["istio"],
    }


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def http(cluster: str, prefix: str) -> dict:
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}
    router = {"@type": T + "filters.http.router.v3.Router"}
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": T + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": prefix,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        },
    }


def server_side(inbound: int, application: int) -> dict:
    """What a replica's Envoy gets."""
    tls = {
        "@type": T + "transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": common_tls(),
    }
    listener = {
        "name": "virtualInbound",
        "traffic_direction": "INBOUND",
        "stat_prefix": "0.0.0.0_15006",
        "address": address(inbound),
        "filter_chains": [
            {
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
                "filters": [http("in", "inbound")],
            }
        ],
    }
    hosts = [{"lb_endpoints": [{"endpoint": {"address": address(application)}}]}]
    cluster = {
        "name": "in",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "in", "endpoints": hosts},
    }
    return {
        LISTENER: {"virtualInbound": made(Listener, listener)},
        CLUSTER: {"in": made(Cluster, cluster)},
    }


def client_side(outbound: int, endpoints: list[int]) -> dict:
    """What the client's Envoy gets; no retries."""
    tls = {"@type": T + "transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common_tls()}
    everything = 4294967295
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    cluster = {
        "name": "out",
        "type": "EDS",
        "connect_timeout": "2s",
        "eds_cluster_config": {"eds_config": ADS},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, everything)]},
    }
    hosts = [{"lb_endpoints": [{"endpoint": {"address": address(port)}} for port in endpoints]}]
    listener = {
        "name": "outbound",
        "traffic_direction": "OUTBOUND",
        "address": address(outbound),
        "filter_chains": [{"filters": [http("out", "outbound")]}],
    }
    return {
        LISTENER: {"outbound": made(Listener, listener)},
        CLUSTER: {"out": made(Cluster, cluster)},
        ENDPOINTS: {"out": made(ClusterLoadAssignment, {"cluster_name": "out", "endpoints": hosts})},
    }


class Replica:
    """A pod of the service: echo and its Envoy."""

    def __init__(self, name: str, inbound: int, application: int) -> None:
        self.name, self.inbound, self.application = name, inbound, application
        self.running = None
        self.echo: asyncio.subprocess.Process | None = None

    async def begin(self, start, control_plane) -> None:
        control_plane.publish(server_side(self.inbound, self.application), self.name)
        command = ("-m", "linnet.local.workloads.echo", "--port", str(self.application), "--tcp-port", "0")
        self.echo = await asyncio.create_subprocess_exec(
            sys.executable, *command, "--pod", self.name, stdout=asyncio.subprocess.PIPE
        )
        self.running = await start(POD_NAME=self.name)
        await self.running.until_ready()
        assert self.echo.stdout
        await self.echo.stdout.readline()

    async def hooks(self) -> None:
        """The preStop hooks of both containers."""
        both = [
            asyncio.get_running_loop().create_task(
                self.running.get(self.running.settings.status_port, "/drain?grace=30")
            )
            for _ in range(2)
        ]
        assert [await hook for hook in both] == [(200, "idle\n")] * 2

    async def end(self) -> None:
        """SIGTERM to both containers."""
        self.running.agent.terminate()
        self.echo.terminate()
        assert await self.running.ended == 0
        assert await self.echo.wait() == 0


class Service:
    """Three replicas, three that replace them, a caller beside them, and the load that it makes."""

    def __init__(self, start, control_plane, ports) -> None:
        self.start, self.control_plane = start, control_plane
        self.outbound = ports(1)[0]
        self.replicas = [Replica(f"web-{n}", *ports(2)) for n in range(6)]
        self.live: list[Replica] = []

    def tell(self) -> None:
        """Tell the caller's Envoy where the service is."""
        where = [replica.inbound for replica in self.live]
        self.control_plane.publish(client_side(self.outbound, where), "caller")

    async def add(self, replica: Replica) -> None:
        """A pod that is ready, then its endpoint."""
        await replica.begin(self.start, self.control_plane)
        self.live.append(replica)
        self.tell()

    def remove(self, replica: Replica) -> None:
        """The endpoint goes."""
        self.live.remove(replica)
        self.tell()

    async def loaded(self, replace) -> Record:
        """What the load saw while `replace` was at work on a running service."""
        try:
            return await self._loaded(replace)
        finally:
            for replica in self.replicas:
                if replica.echo and replica.echo.returncode is None:
                    replica.echo.kill()
                    await replica.echo.wait()

    async def _loaded(self, replace) -> Record:
        for replica in self.replicas[:3]:
            await self.add(replica)
        await (await self.start(POD_NAME="caller")).until_ready()
        url = f"http://127.0.0.1:{self.outbound}"
        paces = ("--rate=40", "--new-connections=10", "--connections=30")
        options = load.arguments([f"--target={url}/", f"--target={url}/?delay=0.5", *paces])
        record = Record("caller", datetime.now(UTC))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run(options, record, stop, print))
            await replace()
            await asyncio.sleep(0.5)
            stop.set()
        return record


@pytest.mark.parametrize("lag", [0.0, 2.0], ids=["endpoint-goes-at-once", "endpoint-goes-late"])
async def test_no_request_fails_while_all_replicas_are_replaced(start, control_plane, ports, lag):
    """Kept, fresh and slow requests without any retry, while three replicas are replaced in turn."""
    service = Service(start, control_plane, ports)

    async def replace() -> None:
        for new in service.replicas[3:]:
            old = service.live[0]
            await service.add(new)
            hooks = asyncio.get_running_loop().create_task(old.hooks())
            await asyncio.sleep(lag)
            service.remove(old)
            await hooks
            await old.end()

    record = await service.loaded(replace)
    requests, failed = record.totals()
    print(record.text(datetime.now(UTC)))
    assert failed == 0
    assert requests > 500
    answered = {pod for tally in record.tallies for pod in tally.pods}
    assert answered == {replica.name for replica in service.replicas}


async def test_the_load_sees_a_replica_that_is_killed(start, control_plane, ports):
    """Without the sequence requests do fail: that the other test sees none means something."""
    service = Service(start, control_plane, ports)

    async def replace() -> None:
        await asyncio.sleep(0.5)
        old = service.live[0]
        old.echo.kill()
        old.running.agent.kill()
        await asyncio.sleep(0.3)
        service.remove(old)

    record = await service.loaded(replace)
    assert record.totals()[1] > 0
