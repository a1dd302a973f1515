"""Outbound listeners: who claims an address and port has it, and nobody else's listener suffers."""

from typing import Any

import pytest

from linnet.ingest.mesh import advance, empty
from linnet.ingest.proxies import view
from linnet.model.proxy import ProxyClaim, ProxyKind
from linnet.model.resource import LISTENER
from linnet.translate.offers import Translator

pytestmark = pytest.mark.unit
CLIENT = ProxyClaim(ProxyKind.SIDECAR, "client", "a")


def entry(
    name: str, host: str, *addresses: str, day: int = 1, ports: list[Any] | None = None
) -> dict[str, Any]:
    """A ServiceEntry with addresses and a TCP port."""
    meta = {"name": name, "namespace": "a", "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}
    usual = [{"number": 9000, "name": "tcp", "protocol": "TCP"}]
    spec = {"hosts": [host], "addresses": list(addresses), "ports": ports or usual, "resolution": "STATIC"}
    return {"metadata": meta, "spec": spec}


def listeners(*entries: dict[str, Any]) -> set[str]:
    """Names of the outbound listeners of a mesh with only these entries."""
    mesh = advance(empty(), {("ServiceEntry", "a", one["metadata"]["name"]): one for one in entries})
    held = Translator().offer(view(CLIENT, mesh), mesh.snapshot).of(LISTENER)
    return set(held) - {"virtualOutbound", "virtualInbound"}


def test_address_that_is_taken_is_left_to_its_first_claim() -> None:
    """Also a second address of a listener is taken; the younger entry keeps the rest of its addresses."""
    old, young = (
        entry("old", "x.org", "1.1.1.1", "1.1.1.2"),
        entry("young", "y.org", "1.1.1.2", "1.1.1.3", day=2),
    )
    assert listeners(old, young) == {"1.1.1.1_9000", "1.1.1.3_9000"}


def test_unspecified_address_is_none() -> None:
    """0.0.0.0 would take the calls of everybody."""
    assert listeners(entry("a", "x.org", "0.0.0.0", "1.1.1.1")) == {"1.1.1.1_9000"}


def test_reserved_ports_stay_the_proxys_own() -> None:
    """Nobody can claim the ports that the proxy itself listens on."""
    ports = [{"number": 15006, "name": "tcp", "protocol": "TCP"}]
    assert listeners(entry("a", "x.org", "1.1.1.1", ports=ports)) == set()


def test_two_networks_share_one_listener() -> None:
    """Networks are told apart by filter chains of the listener for any address."""
    assert listeners(entry("a", "x.org", "10.1.0.0/16"), entry("b", "y.org", "10.2.0.0/16")) == {
        "0.0.0.0_9000"
    }


def test_port_that_is_none_is_left_out() -> None:
    """A number or a target that no port has is the problem of that port alone."""
    good = {"number": 9000, "name": "tcp", "protocol": "TCP"}
    wrong = [
        {"number": 9001, "name": "b", "targetPort": 65536},
        {"number": 0, "name": "c"},
        {**good, "name": "d"},
    ]
    one = entry("a", "x.org", "1.1.1.1", ports=[good, *wrong])
    assert listeners(one) == {"1.1.1.1_9000"}
    mesh = advance(empty(), {("ServiceEntry", "a", "a"): one})
    (problems,) = mesh.problems.values()
    assert [problem.path for problem in problems] == [
        "spec.ports[1].targetPort",
        "spec.ports[2].number",
        "spec.ports[3].number",
    ]
