"""Readiness, the drain's count, metrics and probes: what is read out of Envoy and the application."""

import asyncio
import contextlib

import msgspec
import pytest
import structlog

from linnet.proxy.beside import Beside
from linnet.proxy.drain import Connections, Drain, connections, hook_limit
from linnet.proxy.http import Request, Response, serving
from linnet.proxy.probes import probe
from linnet.proxy.settings import Prober, read
from linnet.proxy.status import Status, look, rename_metrics

OWN = frozenset({15000, 15021, 15090})
STATS = """\
listener.0.0.0.0_15001.downstream_cx_active: 4
listener.0.0.0.0_15006.downstream_cx_active: 2
listener.0.0.0.0_15006.downstream_cx_total: 20
listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2
listener.10.244.0.7_15021.downstream_cx_active: 1
listener.10.244.0.7_15021.downstream_cx_total: 10
listener.10.96.1.1_80.downstream_cx_active: 3
listener.10.96.1.1_80.downstream_cx_total: 30
listener.admin.downstream_cx_active: 1
listener.10.244.0.7_15090.downstream_cx_active: 1
"""
LIVE = "cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_success: 1\n"


@pytest.mark.unit
def test_only_other_peoples_connections_count():
    """Inbound ones for the hook, all for the end; never our own ports, never a worker's share twice."""
    assert connections(STATS, ports=OWN, inbound=15006) == Connections(2, 20)
    assert connections(STATS, ports=OWN, inbound=None) == Connections(9, 50)
    assert connections("", ports=OWN, inbound=None) == Connections()


@pytest.mark.unit
@pytest.mark.parametrize(
    ("query", "limit"), [({}, 25.0), ({"grace": "60"}, 55.0), ({"grace": "4"}, 3.0), ({"grace": "x"}, 25.0)]
)
def test_a_hook_leaves_time_for_sigterm(query, limit):
    """The grace period less five seconds, but the least time in any case."""
    assert hook_limit(query) == limit


@pytest.mark.unit
@pytest.mark.parametrize(
    ("stats", "said"),
    [
        ("", "cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected"),
        (
            "cluster_manager.cds.update_success: 1\nlistener_manager.lds.update_rejected: 2\n",
            "cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 2 rejected",
        ),
        (LIVE + "server.state: 2\nlistener_manager.workers_started: 0\n", "server is not live"),
        (LIVE + "server.state: 0\nlistener_manager.workers_started: 0\n", "server is not live"),
    ],
)
def test_why_it_is_not_ready(stats, said):
    """Both kinds accepted, live, workers started; else the reason with its numbers."""
    assert said in look(stats).reason


@pytest.mark.unit
def test_ready():
    """Everything that it takes."""
    assert look(LIVE + "server.state: 0\nlistener_manager.workers_started: 1\n").reason == ""


@pytest.mark.unit
def test_the_meshs_metrics_have_istios_names():
    """Envoy's prefix goes from ours, not from its own."""
    text = '# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{a="envoy_istio_b"} 1\n'
    assert rename_metrics(text + "envoy_server_live 1\n") == (
        '# TYPE istio_requests_total counter\nistio_requests_total{a="envoy_istio_b"} 1\n'
        "envoy_server_live 1\n"
    )


def settings_of(**env: str):
    told = {"POD_NAME": "a", "POD_NAMESPACE": "b", "INSTANCE_IP": "127.0.0.1", "HOST_IP": "10.1.1.1"}
    return read((), told | env, lambda path: None, version="0")


def status_of(settings, *, quits: list | None = None) -> Status:
    log = structlog.get_logger()
    return Status(
        settings,
        Beside(),
        Drain(settings, Beside(), log),
        own_metrics=lambda: "own 1\n",
        quit_now=lambda: quits.append(1) if quits is not None else None,
        log=log,
    )


def request(path: str, *, method: str = "GET", peer: str = "10.9.9.9", **headers: str) -> Request:
    return Request(method, path, {}, "", headers, peer)


@pytest.mark.wired
async def test_strangers_may_not_drain():
    """Only the node and the pod itself take a pod out of the mesh."""
    status = status_of(settings_of())
    assert (await status.answer(request("/drain"))).status == 403
    assert (await status.answer(request("/nothing"))).status == 404
    assert (await status.answer(request("/app-health/x/readyz"))).status == 400


@pytest.mark.wired
async def test_quit_is_off_unless_allowed():
    """And then only by POST from the pod."""
    quits: list[int] = []
    off = status_of(settings_of(), quits=quits)
    on = status_of(settings_of(LINNET_QUIT_ALLOWED="true"), quits=quits)
    post = {"method": "POST", "peer": "127.0.0.1"}
    assert (await off.answer(request("/quitquitquit", **post))).status == 404
    assert (await on.answer(request("/quitquitquit", peer="127.0.0.1"))).status == 404
    assert (await on.answer(request("/quitquitquit", method="POST"))).status == 404
    assert quits == []
    assert (await on.answer(request("/quitquitquit", **post))).status == 200
    assert quits == [1]


@contextlib.asynccontextmanager
async def application(answer: Response):
    """An application: its port, and what it was asked."""
    asked: list[Request] = []

    async def handle(request: Request) -> Response:
        asked.append(request)
        return answer

    sock = Beside().listen(0, host="127.0.0.1")
    port = sock.getsockname()[1]
    async with serving(sock, handle):
        yield port, asked


@pytest.mark.wired
@pytest.mark.parametrize(("said", "seen"), [(200, 200), (302, 200), (404, 404), (503, 503)])
async def test_an_http_probe_is_passed_on(said, seen):
    """Path, host and headers of the original probe; a redirect is success."""
    async with application(Response(said, b"well")) as (port, asked):
        spec = {
            "path": "/ready?x=1",
            "port": port,
            "httpHeaders": [{"name": "X-Key", "value": "1"}, {"name": "Host", "value": "a.example"}],
        }
        answer = await probe(
            Prober("httpGet", spec), settings_of(), Beside(), {"user-agent": "kube-probe/1.35"}
        )
    assert (answer.status, answer.body) == (seen, b"well")
    assert (asked[0].path, asked[0].raw_query) == ("/ready", "x=1")
    assert asked[0].headers["host"] == "a.example"
    assert asked[0].headers["x-key"] == "1"
    assert asked[0].headers["user-agent"] == "kube-probe/1.35"


@pytest.mark.wired
async def test_a_tcp_probe_connects_and_a_dead_application_fails():
    """Open: 200; nobody there: 500 with the reason."""
    async with application(Response(200)) as (port, _):
        assert (await probe(Prober("tcpSocket", {"port": port}), settings_of(), Beside(), {})).status == 200
    for kind in ("tcpSocket", "httpGet"):
        answer = await probe(Prober(kind, {"port": port}), settings_of(), Beside(), {})
        assert answer.status == 500
        assert b"ConnectionRefusedError" in answer.body


@pytest.mark.wired
async def test_a_silent_application_times_out():
    """The probe's own timeout holds."""

    gone = asyncio.Event()

    async def silent(reader, writer) -> None:
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answer = await probe(Prober("httpGet", {"port": port}, 0.2), settings_of(), Beside(), {})
    assert answer.status == 500
    assert b"TimeoutError" in answer.body
    await gone.wait()
    server.close()


@pytest.mark.wired
@pytest.mark.parametrize(("serving_status", "seen"), [(1, 200), (2, 500)])
async def test_a_grpc_probe_asks_for_health(serving_status, seen):
    """grpc.health.v1: SERVING is success; the server here is grpcio's."""
    import grpc

    names: list[bytes] = []

    class Health(grpc.GenericRpcHandler):
        def service(self, details):
            if details.method != "/grpc.health.v1.Health/Check":
                return None

            async def check(message: bytes, context) -> bytes:
                names.append(message)
                return bytes([8, serving_status])

            return grpc.unary_unary_rpc_method_handler(check)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Health(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        answer = await probe(Prober("grpc", {"port": port, "service": "shop"}), settings_of(), Beside(), {})
    finally:
        await server.stop(None)
    assert answer.status == seen
    assert names == [b"\n\x04shop"]


@pytest.mark.wired
async def test_metrics_are_merged():
    """The agent's and the application's in one; Envoy is not there and that stops nobody."""
    async with application(Response(200, b"app 2\n# EOF\n")) as (port, _):
        settings = msgspec.structs.replace(
            settings_of(ISTIO_PROMETHEUS_ANNOTATIONS=f'{{"scrape":"true","port":"{port}"}}'), admin_port=1
        )
        answer = await status_of(settings).answer(request("/stats/prometheus"))
    assert answer.body == b"own 1\napp 2\n"
