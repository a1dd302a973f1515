"""Logs and exec, between a client and a kubelet that this test plays."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tests.local.api.conftest import Server

from linnet.kube.config import from_kubeconfig

pytestmark = pytest.mark.wired

PODS = "/api/v1/namespaces/default/pods"


async def _log(request: web.Request) -> web.Response:
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    who = dict(part for relative in tls.getpeercert()["subject"] for part in relative)
    return web.Response(text=f"{who['commonName']} {request.path} {request.query_string}\n")


async def _exec(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
    await socket.prepare(request)
    heard = await socket.receive_bytes()
    await socket.send_bytes(b"\x01" + " ".join(request.query.getall("command")).encode() + b" " + heard[1:])
    await socket.send_bytes(b'\x03{"status":"Success"}')
    await socket.close()
    return socket


@pytest.fixture
async def running_pod(server: Server) -> AsyncIterator[Server]:
    """A pod on a node whose kubelet is this test."""
    app = web.Application()
    app.router.add_get("/containerLogs/{ns}/{pod}/{container}", _log)
    app.router.add_get("/exec/{ns}/{pod}/{container}", _exec)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server.state / "pki" / "ca.crt"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(
        server.state / "pki" / "kubelet-serving.crt", server.state / "pki" / "kubelet-serving.key"
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-1"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }
    await server.call("POST", "/api/v1/nodes", node)
    await server.account("default")
    spec = {"containers": [{"name": "main", "image": "x"}], "nodeName": "node-1"}
    await server.call("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
    yield server
    await runner.cleanup()


async def test_logs_come_from_the_kubelet(running_pod: Server) -> None:
    """The server asks with its own certificate and passes the options on."""
    answer = await running_pod.client.raw("GET", f"{PODS}/p/log?tailLines=3&nonsense=1")
    assert answer == b"kube-apiserver-kubelet-client /containerLogs/default/p/main tailLines=3\n"


async def test_exec_over_a_websocket(running_pod: Server) -> None:
    """Channels go through both ways; the status is the last word."""
    config = from_kubeconfig(str(running_pod.state / "admin.kubeconfig"))
    url = f"{config.server}{PODS}/p/exec?command=echo&command=a&stdin=true&stdout=true"
    async with (
        asyncio.timeout(5),
        aiohttp.ClientSession() as session,
        session.ws_connect(url, ssl=config.tls or False, protocols=("v5.channel.k8s.io",)) as socket,
    ):
        await socket.send_bytes(b"\x00b")
        assert await socket.receive_bytes() == b"\x01echo a b"
        assert await socket.receive_bytes() == b'\x03{"status":"Success"}'


async def test_a_raw_upgrade_is_answered(running_pod: Server) -> None:
    """Older kubectl speaks SPDY on the connection itself."""
    config = from_kubeconfig(str(running_pod.state / "admin.kubeconfig"))
    host, _, port = config.server.removeprefix("https://").partition(":")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=config.tls)
        writer.write(
            f"POST {PODS}/p/exec?command=a&stdout=true HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"X-Stream-Protocol-Version: v4.channel.k8s.io" in head
