"""Offers: each resource is computed once, a change costs what it changes."""

from typing import Any

import pytest

from linnet.envoy.messages import Any as Packed
from linnet.envoy.messages import RouteConfiguration
from linnet.ingest.mesh import Mesh, advance, empty
from linnet.ingest.proxies import view
from linnet.model.proxy import ProxyClaim, ProxyKind
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Offer
from linnet.translate.offers import Translator

pytestmark = pytest.mark.unit
CLIENT = ProxyClaim(ProxyKind.SIDECAR, "client", "default")
OTHER = ProxyClaim(ProxyKind.SIDECAR, "client", "other")


def service(number: int) -> dict[str, Any]:
    """Service number n."""
    ip = f"10.96.{number // 250}.{number % 250 + 1}"
    ports = [{"name": "http" if number % 2 else "tcp", "port": 80, "targetPort": 8080}]
    spec = {"clusterIP": ip, "clusterIPs": [ip], "ports": ports}
    return {"metadata": {"name": f"s{number}", "namespace": "default"}, "spec": spec}


def endpoints(number: int, address: str) -> dict[str, Any]:
    """Its endpoints."""
    labels = {"kubernetes.io/service-name": f"s{number}"}
    meta = {"name": f"s{number}-x", "namespace": "default", "labels": labels}
    port = {"name": "http" if number % 2 else "tcp", "port": 8080}
    return {"metadata": meta, "endpoints": [{"addresses": [address]}], "ports": [port]}


def mesh(size: int) -> Mesh:
    """So many services, each with an endpoint."""
    changes: dict[tuple[str, str, str], dict[str, Any] | None] = {}
    for number in range(size):
        changes["Service", "default", f"s{number}"] = service(number)
        changes["EndpointSlice", "default", f"s{number}-x"] = endpoints(
            number, f"10.1.{number // 250}.{number % 250}"
        )
    return advance(empty(), changes)


def changed(before: Offer, after: Offer) -> set[str]:
    """Names of resources that are not the same objects."""
    return {
        name
        for url, held in after.resources.items()
        for name, one in held.items()
        if before.of(url).get(name) is not one
    }


def test_one_endpoint_of_a_thousand_services_is_one_resource() -> None:
    """Nothing is computed for services that did not change, however many views there are."""
    translator, held = Translator(), mesh(1000)
    views = [view(claim, held) for claim in (CLIENT, OTHER)]
    before = [translator.offer(one, held.snapshot) for one in views]
    translator.end_push()
    computed = translator.computed
    held = advance(held, {("EndpointSlice", "default", "s7-x"): endpoints(7, "10.9.9.9")})
    after = [translator.offer(one, held.snapshot) for one in views]
    assert translator.computed - computed == 1
    for old, new in zip(before, after, strict=True):
        assert changed(old, new) == {"outbound|80||s7.default.svc.cluster.local"}
        assert new.of(CLUSTER) is old.of(CLUSTER)
        assert new.of(LISTENER) is old.of(LISTENER)
        assert new.of(ROUTES) is old.of(ROUTES)


def test_no_change_is_the_same_offer() -> None:
    """Asked again, in this push or in the next one, the offer is the same object."""
    translator, held = Translator(), mesh(3)
    one = view(CLIENT, held)
    first = translator.offer(one, held.snapshot)
    assert translator.offer(one, held.snapshot) is first
    translator.end_push()
    assert translator.offer(one, held.snapshot) is first


def test_equal_views_share_their_resources_with_views_that_are_alike() -> None:
    """Clusters do not depend on the namespace: proxies of two namespaces hold the same objects."""
    translator, held = Translator(), mesh(3)
    first = translator.offer(view(CLIENT, held), held.snapshot)
    second = translator.offer(view(OTHER, held), held.snapshot)
    name = "outbound|80||s1.default.svc.cluster.local"
    assert first.of(CLUSTER)[name] is second.of(CLUSTER)[name]
    assert first.of(ENDPOINTS)[name] is second.of(ENDPOINTS)[name]


def test_what_is_deleted_leaves_the_offer() -> None:
    """A Service that is gone takes its cluster, endpoints and names along."""
    translator, held = Translator(), mesh(3)
    translator.offer(view(CLIENT, held), held.snapshot)
    translator.end_push()
    held = advance(held, {("Service", "default", "s1"): None, ("EndpointSlice", "default", "s1-x"): None})
    after = translator.offer(view(CLIENT, held), held.snapshot)
    assert not [name for held in after.resources.values() for name in held if "s1." in name]


def test_another_translator_gives_the_same_bytes() -> None:
    """Translation is deterministic, byte for byte."""
    held = mesh(20)
    offers = [Translator().offer(view(CLIENT, held), held.snapshot) for _ in range(2)]
    bodies = [{n: r.body for part in o.resources.values() for n, r in part.items()} for o in offers]
    versions = [{n: r.version for part in o.resources.values() for n, r in part.items()} for o in offers]
    assert bodies[0] == bodies[1]
    assert versions[0] == versions[1]


def test_forgets_views_that_are_gone() -> None:
    """Two pushes after a view's last proxy left, nothing of it is kept."""
    translator, held = Translator(), mesh(3)
    for claim in (CLIENT, OTHER):
        translator.offer(view(claim, held), held.snapshot)
    translator.end_push()
    translator.offer(view(CLIENT, held), held.snapshot)
    translator.end_push()
    computed = translator.computed
    translator.offer(view(CLIENT, held), held.snapshot)
    assert translator.computed == computed
    translator.offer(view(OTHER, held), held.snapshot)
    assert translator.computed > computed


@pytest.mark.parametrize("host", ["*.svc.cluster.local", "*.default.svc.cluster.local"])
def test_a_wildcard_has_no_short_forms(host: str) -> None:
    """Without its suffix it would be `*`, which a table has once and for other hosts."""
    spec = {
        "hosts": [host],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "resolution": "NONE",
    }
    entry = {"metadata": {"name": "all", "namespace": "default"}, "spec": spec}
    held = advance(empty(), {("ServiceEntry", "default", "all"): entry})
    offer = Translator().offer(view(CLIENT, held), held.snapshot)
    table = RouteConfiguration.FromString(Packed.FromString(offer.of(ROUTES)["80"].body).value)
    domains = [domain for one in table.virtual_hosts for domain in one.domains if "*" in domain]
    assert sorted(domains) == ["*", host]
