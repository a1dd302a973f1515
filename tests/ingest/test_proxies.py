"""Views: what a proxy may see, shared by all that see the same."""

import pytest
from test_mesh import pod, service, two_services

from linnet.ingest.mesh import advance
from linnet.ingest.proxies import Views, view
from linnet.model.policy import PeerMode
from linnet.model.proxy import ProxyClaim, ProxyKind
from linnet.model.sidecar import sees

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


def sidecar(*hosts: str, age: int = 0, **labels: str) -> dict:
    """A Sidecar that lets these hosts be seen."""
    spec: dict = {"egress": [{"hosts": list(hosts)}]}
    if labels:
        spec["workloadSelector"] = {"labels": labels}
    return {"metadata": {"creationTimestamp": f"2026-01-{20 - age:02}T00:00:00Z"}, "spec": spec}


def test_the_nearest_sidecar_counts() -> None:
    """Of the workload, else of the namespace, else of the mesh; the older of two."""

    def sight(*names: str):
        there = {
            "root": (("Sidecar", "istio-system", "r"), sidecar("./*", "*/r.example")),
            "namespace": (("Sidecar", "a", "n"), sidecar("b/n.example", age=3)),
            "younger": (("Sidecar", "a", "m"), sidecar("b/m.example", age=1)),
            "workload": (("Sidecar", "a", "w"), sidecar("b/w.example", app="s")),
            "other": (("Sidecar", "a", "o"), sidecar("b/o.example", app="t")),
        }
        return view(S1, advance(two_services(), dict(there[name] for name in names))).outbound.egress

    assert sight("other") is None
    assert sight("root", "other") == (("*", "r.example"), ("a", "*"))
    assert sight("root", "namespace", "younger", "other") == (("b", "n.example"),)
    assert sight("root", "namespace", "workload") == (("b", "w.example"),)


def test_who_sees_everything_shares_a_view() -> None:
    """A Sidecar that narrows nothing makes no view of its own; gateways have none at all."""
    before = two_services()
    wide = advance(before, {("Sidecar", "a", "n"): sidecar("*/*", "./x.example")})
    assert view(S1, wide) == view(S1, before)
    narrow = advance(before, {("Sidecar", "a", "n"): sidecar("~/*")})
    assert view(S1, narrow).outbound.egress == ()
    gateway = ProxyClaim(ProxyKind.ROUTER, "s-1", "a")
    assert view(gateway, narrow) == view(gateway, before)


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        ("a/s.a.svc.cluster.local", True),
        ("b/s.a.svc.cluster.local", False),
        ("*/*.svc.cluster.local", True),
        ("*/*.example", False),
        ("*/*.a.svc.cluster.local", True),
        ("a/s.a.svc", False),
    ],
)
def test_what_is_in_sight(host: str, seen: bool) -> None:
    """Namespace and host must both fit; patterns stand for what ends alike."""
    namespace, _, pattern = host.partition("/")
    assert sees([(namespace, pattern)], "a", "s.a.svc.cluster.local") is seen


def test_a_pattern_that_is_called_meets_a_name_and_a_pattern() -> None:
    """A ServiceEntry for `*.example` is in sight of whoever may call one of its names, or more."""
    for pattern in ("api.example", "*.example", "*.api.example", "*"):
        assert sees([("*", pattern)], "a", "*.example"), pattern
    assert not sees([("*", "example")], "a", "*.example")
