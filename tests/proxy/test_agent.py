"""An agent with a real Envoy: ready when configured, known by its certificate, ended gently."""

import asyncio
import os
import re

import pytest

from linnet.envoy.messages import HttpConnectionManager, Listener
from linnet.model.resource import LISTENER
from linnet.proxy.settings import ROOTS_FILE, TOKEN_FILE

pytestmark = pytest.mark.envoy

NODE = "sidecar~127.0.0.1~cart-1.shop~shop.svc.cluster.local"
ACCOUNT = "spiffe://cluster.local/ns/shop/sa/cart"
CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"


def listener(
    port: int, *, name: str = "virtualInbound", body: str = "hello", fault: bool = False
) -> Listener:
    """An inbound listener that answers itself."""
    manager = HttpConnectionManager(stat_prefix="inbound")
    host = manager.route_config.virtual_hosts.add(name="all", domains=["*"])
    route = host.routes.add()
    route.match.prefix = "/"
    route.direct_response.status = 200
    route.direct_response.body.inline_string = body
    router = manager.http_filters.add(name="envoy.filters.http.router")
    router.typed_config.type_url = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" + (
        "X" if fault else ""
    )
    made = Listener(name=name, traffic_direction=1)
    made.address.socket_address.address = "127.0.0.1"
    made.address.socket_address.port_value = port
    made.stat_prefix = "0.0.0.0_15006"
    packed = made.filter_chains.add().filters.add(name=CONNECTION_MANAGER).typed_config
    packed.type_url = f"type.googleapis.com/{manager.DESCRIPTOR.full_name}"
    packed.value = manager.SerializeToString()
    return made


async def until(claim, *, timeout: float = 15.0) -> None:
    """Return when an asynchronous claim about the processes holds."""
    async with asyncio.timeout(timeout):
        while True:
            try:
                if await claim():
                    return
            except OSError:
                pass
            await asyncio.sleep(0.02)


async def status(running) -> tuple[int, str]:
    """What 15020 says about readiness."""
    return await running.get(running.settings.status_port, "/healthz/ready")


async def refused(running) -> bool:
    """Whether the agent says that Envoy has no configuration."""
    code, text = await status(running)
    return code == 503 and "config not received" in text


async def ending(running) -> bool:
    """Whether the agent says that it is ending."""
    return await status(running) == (503, "the proxy is ending\n")


@pytest.mark.parametrize("mark", ["", "1337"], ids=["unmarked", "marked"])
async def test_ready_over_mtls(start, control_plane, mark):
    """Key, CSR, CA, SDS, delta ADS over mTLS, no configuration yet: ready, and known by its SPIFFE ID."""
    if mark and os.geteuid() != 0:
        pytest.skip("marking sockets needs CAP_NET_ADMIN")
    running = await start(LINNET_ENVOY_MARK=mark)
    await running.until_ready()
    assert control_plane.seen == [(NODE, (ACCOUNT,))]
    status, text = await running.get(running.settings.prometheus_port, "/stats/prometheus")
    assert status == 200
    assert "envoy_server_live" in text
    _, merged = await running.get(running.settings.status_port, "/stats/prometheus")
    assert "istio_agent_cert_expiry_seconds" in merged
    assert "envoy_server_live" in merged


async def test_no_token_no_configuration(start, control_plane):
    """A token that the CA does not know: never ready, and the agent goes on trying until it is a good one."""
    running = await start(token="bad")
    await until(lambda: refused(running))
    assert control_plane.seen == []
    running.host.put(TOKEN_FILE, "good")
    await running.until_ready()
    assert control_plane.seen == [(NODE, (ACCOUNT,))]


async def test_a_control_plane_under_another_name_gets_nothing(start, control_plane, tmp_path):
    """Envoy is told to expect `istiod-other`; the certificate says `istiod-canary`: no stream."""
    running = await start(
        PROXY_CONFIG='{"discoveryAddress": "istiod-other.istio-system.svc:15012"}',
        CA_ADDR="istiod-canary.istio-system.svc:15012",
    )

    async def mismatched() -> bool:
        return await running.stat("cluster.xds-grpc.ssl.fail_verify_san") > 0

    await until(mismatched)
    assert control_plane.seen == []


async def test_a_rejected_first_configuration_is_not_readiness(start, control_plane, unused_port):
    """Envoy is live though it refused the listener; the agent knows better, until a good one comes."""
    port = unused_port
    control_plane.publish({LISTENER: {"virtualInbound": listener(port, fault=True)}})
    running = await start()

    async def rejected() -> bool:
        return "lds updates: 0 successful, 1 rejected" in (await status(running))[1]

    await until(rejected)
    control_plane.publish({LISTENER: {"virtualInbound": listener(port)}})
    await running.until_ready()


async def test_the_identity_is_renewed_while_the_stream_stays(start, control_plane):
    """At half of a short lifetime a new key reaches Envoy by SDS; ADS is not disturbed."""
    running = await start(SECRET_TTL="4s")
    await running.until_ready()

    async def serial() -> str:
        _, text = await running.get(running.settings.admin_port, "/certs")
        return "".join(sorted(re.findall(r'"serial_number": "(\w+)"', text)))

    before = await serial()

    async def renewed() -> bool:
        return await serial() != before

    await until(renewed)
    assert len(control_plane.seen) == 1


async def test_new_roots_bring_a_new_identity(start, control_plane):
    """The roots in the ConfigMap change: the agent does not wait for half of a day."""
    running = await start()
    await running.until_ready()
    before = running.agent.secrets.pushed
    running.host.put(ROOTS_FILE, control_plane.authority.roots * 2)

    async def pushed() -> bool:
        return running.agent.secrets.pushed > before

    await until(pushed)


@pytest.fixture
def unused_port(ports) -> int:
    return ports(1)[0]


async def test_the_pre_stop_hook_sends_clients_away_and_waits_for_them(start, control_plane, unused_port):
    """`/drain` makes Envoy say `connection: close`, still accepts, and answers when nobody is connected."""
    control_plane.publish({LISTENER: {"virtualInbound": listener(unused_port)}})
    running = await start()
    await running.until_ready()
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_port)

    async def ask() -> str:
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(5)
        return head.lower()

    assert "connection: close" not in await ask()
    loop = asyncio.get_running_loop()
    began = loop.time()
    hook = loop.create_task(running.get(running.settings.status_port, "/drain?grace=30"))
    second = loop.create_task(running.get(running.settings.status_port, "/drain?grace=30"))
    await until(lambda: ending(running))
    await asyncio.sleep(3.5)
    assert not hook.done(), "a client is still connected"
    assert "connection: close" in await ask()
    writer.close()
    assert await hook == (200, "idle\n")
    assert await second == (200, "idle\n")
    assert loop.time() - began > 3.5

    again = await asyncio.open_connection("127.0.0.1", unused_port)
    again[1].write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert b"200 OK" in await again[0].readuntil(b"\r\n\r\n"), "the drained Envoy still serves"
    again[1].close()


async def test_a_gateway_drains_all_its_listeners(start, control_plane, unused_port):
    """A gateway's listeners are not marked inbound; its clients are sent away all the same."""
    gateway = listener(unused_port, name="0.0.0.0_8080")
    gateway.traffic_direction = 2
    gateway.stat_prefix = "0.0.0.0_8080"
    control_plane.publish({LISTENER: {"0.0.0.0_8080": gateway}})
    running = await start(role="router")
    await running.until_ready()
    assert control_plane.seen[0][0].startswith("router~")
    reader, writer = await asyncio.open_connection("127.0.0.1", unused_port)
    hook = asyncio.get_running_loop().create_task(
        running.get(running.settings.status_port, "/drain?grace=30")
    )
    await until(lambda: ending(running))
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert b"connection: close" in (await reader.readuntil(b"\r\n\r\n")).lower()
    writer.close()
    assert await hook == (200, "idle\n")


async def test_the_hook_does_not_wait_longer_than_the_grace_period_allows(start, control_plane, unused_port):
    """A client that never goes: answered 5 s before the end of the grace period."""
    control_plane.publish({LISTENER: {"virtualInbound": listener(unused_port)}})
    running = await start()
    await running.until_ready()
    _, writer = await asyncio.open_connection("127.0.0.1", unused_port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    code, said = await running.get(running.settings.status_port, "/drain?grace=9")
    assert (code, said) == (200, "connections are left\n")
    assert loop.time() - began > 3.9
    writer.close()


async def test_sigterm_without_a_hook_drains_as_well(start, control_plane):
    """TERM: no longer ready, at least 3 s, then Envoy ends with code 0 and so does the agent."""
    running = await start()
    await running.until_ready()
    loop = asyncio.get_running_loop()
    began = loop.time()
    running.agent.terminate()
    await until(lambda: ending(running))
    async with asyncio.timeout(60):
        assert await running.ended == 0
    assert loop.time() - began >= 3


async def test_envoy_outlives_the_application(start, control_plane, unused_port):
    """After SIGTERM the application still calls: Envoy ends when it does not any more."""
    outbound = listener(unused_port, name="virtualOutbound")
    outbound.traffic_direction = 2
    outbound.stat_prefix = "0.0.0.0_15001"
    control_plane.publish({LISTENER: {"virtualOutbound": outbound}})
    running = await start()
    await running.until_ready()
    assert await running.get(running.settings.status_port, "/drain?grace=30") == (200, "idle\n")
    running.agent.terminate()
    for _ in range(30):  # longer than Envoy is needed by anybody else
        _, writer = await asyncio.open_connection("127.0.0.1", unused_port)
        writer.close()
        await asyncio.sleep(0.15)
    assert not running.ended.done()
    async with asyncio.timeout(60):
        assert await running.ended == 0


async def test_envoys_end_is_the_agents_end(start):
    """Envoy dies: the agent ends with 128 + signal, so that the container is restarted and seen to be."""
    running = await start()
    await running.until_ready()
    running.host.child.signal(9)
    async with asyncio.timeout(5):
        assert await running.ended == 137
