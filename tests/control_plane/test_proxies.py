"""Connected proxies: one line per view, who may connect, and what a push touches."""

from collections.abc import Mapping
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from linnet.control_plane.identity import Identity
from linnet.control_plane.metrics import Metrics
from linnet.control_plane.proxies import Proxies
from linnet.model.proxy import Outbound, ProxyClaim, ProxyKind, ProxyView
from linnet.model.resource import CLUSTER, SECRET, Offer, Resource
from linnet.xds.messages import Node, Request
from linnet.xds.stream import Dialect, Outcome
from linnet.xds.transport import Caller

pytestmark = pytest.mark.unit

WEB = Identity("cluster.local", "shop", "web")
CALLER = Caller("10.0.0.1", secure=True)


class Mesh:
    """A source of offers: every namespace sees its own version, gateways see none."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.made = 0
        self._offers: dict[tuple[ProxyView, str], Offer] = {}

    def view(self, claim: ProxyClaim) -> ProxyView:
        return ProxyView(Outbound(ProxyKind.SIDECAR, self.moved.get(claim.pod, claim.namespace)))

    def offer(self, view: ProxyView) -> Offer:
        version = self.versions.get(view.outbound.namespace, "1")
        if (view, version) not in self._offers:
            self.made += 1
            one = {"a": Resource("a", version, b"")}
            self._offers[view, version] = Offer({CLUSTER: one, SECRET: one})
        return self._offers[view, version]

    def pod(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.pods.get((namespace, name))


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
def proxies(mesh: Mesh) -> Proxies:
    async def identify(caller: Caller) -> Identity | None:
        return WEB if caller.secure else None

    return Proxies(mesh, identify, Metrics(), lambda: True, clock=lambda: 0.0, now=lambda: 0.0)


def node(pod: str, namespace: str = "shop", **metadata: str) -> Node:
    """The node of a sidecar."""
    return Node(f"sidecar~10.0.0.1~{pod}.{namespace}~{namespace}.svc.cluster.local", metadata=metadata)


def connect(proxies: Proxies, pod: str, identity: Identity | None = WEB):
    """A connected proxy that has acknowledged its clusters."""
    connection = proxies.connect(node(pod), CALLER, identity, Dialect.DELTA)
    connection.stream.receive(Request(CLUSTER))
    exchange(proxies, connection)
    return connection


def exchange(proxies: Proxies, connection) -> list[str]:
    """The versions that the proxy is sent and accepts."""
    versions = []
    while (response := connection.stream.respond()) is not None:
        versions += [resource.version for resource in response.step.changed.values()]
        proxies.sent(connection, response, 100)
        answer = Request(response.type_url, response.nonce)
        outcome = connection.stream.receive(answer)
        proxies.answered(connection, answer, outcome)
        assert outcome is Outcome.ACKNOWLEDGED
    return versions


def test_proxies_of_one_view_share_a_line(proxies: Proxies, mesh: Mesh) -> None:
    """One translation, however many proxies."""
    for number in range(5):
        connect(proxies, f"web-{number}")
    assert (len(proxies.lines), mesh.made) == (1, 1)
    mesh.versions["shop"] = "2"
    assert proxies.push(0.0) == 5
    assert mesh.made == 2
    assert [exchange(proxies, connection) for connection in proxies.seats] == [["2"]] * 5
    assert proxies.push(0.0) == 0, "nothing changed: nobody is told"
    assert proxies.metrics.convergence.name in proxies.metrics.exposition()


def test_only_views_that_changed_are_told(proxies: Proxies, mesh: Mesh) -> None:
    """A change in another namespace wakes nobody here."""
    connect(proxies, "web-1")
    mesh.moved["db-1"] = "bank"
    other = connect(proxies, "db-1")
    mesh.versions["bank"] = "2"
    assert proxies.push(0.0) == 1
    assert exchange(proxies, other) == ["2"]


def test_a_proxy_follows_its_view(proxies: Proxies, mesh: Mesh) -> None:
    """A pod whose labels changed sees something else; lines that nobody follows are forgotten."""
    connection = connect(proxies, "web-1")
    mesh.moved["web-1"], mesh.versions["bank"] = "bank", "9"
    assert proxies.push(0.0) == 1
    assert exchange(proxies, connection) == ["9"]
    assert [view.outbound.namespace for view, _ in proxies.lines] == ["bank"]
    proxies.disconnect(connection)
    assert proxies.lines == {}


def test_secrets_are_for_those_who_are_known(proxies: Proxies) -> None:
    """A caller without identity shares the view, but not the secrets."""
    known, unknown = connect(proxies, "web-1"), connect(proxies, "web-2", None)
    for connection, expected in ((known, ["1"]), (unknown, [])):
        connection.stream.receive(Request(SECRET, subscribe=("a",)))
        assert exchange(proxies, connection) == expected


@pytest.mark.parametrize(
    ("claimed", "pods", "status"),
    [
        (node("x", "bank"), {}, Status.PERMISSION_DENIED),
        (node("x", SERVICE_ACCOUNT="admin"), {}, Status.PERMISSION_DENIED),
        (
            node("pay-1"),
            {("shop", "pay-1"): {"spec": {"serviceAccountName": "pay"}}},
            Status.PERMISSION_DENIED,
        ),
        (Node("whoever"), {}, Status.INVALID_ARGUMENT),
    ],
)
def test_theft_is_refused(proxies: Proxies, mesh: Mesh, claimed: Node, pods: dict, status: Status) -> None:
    """Another namespace, another account, another's pod, or no claim at all."""
    mesh.pods = pods
    with pytest.raises(GRPCError) as refused:
        proxies.connect(claimed, CALLER, WEB, Dialect.DELTA)
    assert refused.value.status is status
    assert proxies.seats == {}


async def test_nobody_is_served_before_we_are_ready(proxies: Proxies) -> None:
    """UNAVAILABLE: the proxy tries again."""
    proxies.ready = lambda: False
    with pytest.raises(GRPCError) as refused:
        await proxies.authenticate(CALLER)
    assert refused.value.status is Status.UNAVAILABLE
