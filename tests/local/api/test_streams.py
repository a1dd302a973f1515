"""Logs and exec, between a client and a kubelet that this test plays."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tests.local.api.conftest import Server
from yarl import URL

from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import POD

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


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.method} {request.query_string} {await request.text()}", status=203)


@pytest.fixture
async def running_pod(server: Server) -> AsyncIterator[Server]:
    """A pod on a node whose kubelet is this test."""
    app = web.Application()
    app.router.add_get("/containerLogs/{ns}/{pod}/{container}", _log)
    app.router.add_get("/exec/{ns}/{pod}/{container}", _exec)
    app.router.add_route("*", "/healthz", _healthz)
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


async def _answer(request: web.Request) -> web.Response:
    told = "Authorization" in request.headers
    text = f"{request.method} {request.rel_url.raw_path}?{request.query_string} {await request.text()} {told}"
    return web.Response(text=text, status=299, headers={"X-Mine": "yes"})


@pytest.fixture
async def web_port() -> AsyncIterator[int]:
    """The port of a web server that repeats what it is asked."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", _answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_the_proxy_of_a_node_asks_its_kubelet(running_pod: Server) -> None:
    """Method, query and body reach the kubelet; its code and body come back."""
    config = from_kubeconfig(str(running_pod.state / "admin.kubeconfig"))
    url = f"{config.server}/api/v1/nodes/node-1/proxy/healthz?a=b"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=b"body", ssl=config.tls or False) as response,
    ):
        assert response.status == 203
        assert await response.text() == "POST a=b body"
    with pytest.raises(NotFound):
        await running_pod.client.raw("GET", "/api/v1/nodes/none/proxy/healthz")


async def test_the_proxy_of_a_pod_keeps_the_path(running_pod: Server, web_port: int) -> None:
    """A pod by number of its port; slashes and escapes of the path stay, credentials do not travel."""
    status = {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    await running_pod.client.patch(POD, "p", "default", status, subresource="status")
    config = from_kubeconfig(str(running_pod.state / "admin.kubeconfig"))
    url = URL(f"{config.server}{PODS}/http:p:{web_port}/proxy/a%2Fb//c/?x=1", encoded=True)
    headers = {"Authorization": "Bearer "}
    async with (
        aiohttp.ClientSession() as session,
        session.put(url, data=b"body", ssl=config.tls or False, headers=headers) as response,
    ):
        assert (response.status, response.headers["X-Mine"]) == (299, "yes")
        assert await response.text() == "PUT /a%2Fb//c/?x=1 body False"


async def test_the_proxy_of_a_service_asks_an_endpoint(server: Server, web_port: int) -> None:
    """A Service leads to an endpoint that is ready; without one the refusal says so."""
    spec = {"ports": [{"name": "http", "port": 80}], "clusterIP": "None"}
    services = "/api/v1/namespaces/default/services"
    await server.call("POST", services, {"metadata": {"name": "web"}, "spec": spec})
    with pytest.raises(ApiError, match='no endpoints available for service "web"') as refused:
        await server.client.raw("GET", f"{services}/web/proxy/")
    assert refused.value.code == 503
    endpoint = {"addresses": ["127.0.0.1"], "conditions": {"ready": True}}
    slices = {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [endpoint],
        "ports": [{"name": "http", "port": web_port}],
    }
    await server.call("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slices)
    for name in ("web", "web:80", "web:http", "http:web:http"):
        answer = await server.client.raw("GET", f"{services}/{name}/proxy/")
        assert answer == b"GET /?  False", name
