"""Views: what a proxy may see, shared by all that see the same."""

import pytest
from test_mesh import pod, service, two_services

from linnet.ingest.mesh import advance
from linnet.ingest.proxies import Views, view
from linnet.model.policy import PeerMode
from linnet.model.proxy import ProxyClaim, ProxyKind

pytestmark = pytest.mark.unit
S1 = ProxyClaim(ProxyKind.SIDECAR, "s-1", "a", ip="10.1.0.1")


def test_replicas_have_equal_views() -> None:
    """Two pods of one workload are told apart by nothing."""
    mesh = advance(two_services(), {("Pod", "a", "s-2"): pod("s-2", "10.1.0.3", app="s")})
    other = ProxyClaim(ProxyKind.SIDECAR, "s-2", "a", ip="10.1.0.3")
    assert view(S1, mesh) == view(other, mesh)
    assert view(S1, mesh) != view(ProxyClaim(ProxyKind.SIDECAR, "t-1", "a"), mesh)


def test_inbound_ports_are_those_of_the_services_that_select_the_pod() -> None:
    """The target port of the pod, with the mode that holds there."""
    held = view(S1, two_services()).inbound
    assert held is not None
    (port,) = held.ports
    assert (port.target, port.service_port, port.hostname) == (8080, 80, "s.a.svc.cluster.local")
    assert port.mode is PeerMode.PERMISSIVE


def test_labels_of_the_api_server_count_before_those_of_the_claim() -> None:
    """A proxy cannot choose its labels when its pod is known; when it is not, its word is taken."""
    liar = ProxyClaim(ProxyKind.SIDECAR, "s-1", "a", labels=frozenset({("app", "t")}))
    held = view(liar, two_services()).inbound
    assert held is not None
    assert [port.name for port in held.ports] == ["s"]
    unknown = ProxyClaim(ProxyKind.SIDECAR, "new", "a", labels=frozenset({("app", "t")}))
    held = view(unknown, two_services()).inbound
    assert held is not None
    assert [port.name for port in held.ports] == ["t"]


def test_views_are_remembered_as_long_as_their_inputs_are_the_same() -> None:
    """A change elsewhere costs a proxy nothing; one of its own namespace's services is looked at."""
    views, mesh = Views(), two_services()
    first = views.view(S1, mesh)
    views.end_push()
    changed = service("far")
    changed["metadata"]["namespace"] = "b"
    mesh = advance(mesh, {("Service", "b", "far"): changed})
    assert views.view(S1, mesh) is first
    assert views.computed == 1
    views.end_push()
    mesh = advance(mesh, {("Service", "a", "near"): service("near")})
    assert views.view(S1, mesh) == first
    assert views.computed == 2
