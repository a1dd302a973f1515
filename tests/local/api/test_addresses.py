"""Addresses of Services: unique, in range, given back."""

import ipaddress
from pathlib import Path

import pytest

from linnet.local.api.addresses import Addresses, Refusal
from linnet.local.api.store import Store

pytestmark = pytest.mark.unit

NETWORK = ipaddress.IPv4Network("10.96.0.0/16")


def service(**spec: object) -> dict[str, object]:
    return {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_an_address_is_held_as_long_as_its_service(tmp_path: Path) -> None:
    """Another Service cannot have the address until the first one is deleted."""
    store = Store(tmp_path / "db")
    store.start()
    addresses = Addresses(store, NETWORK)
    first = service()
    with addresses.assigned("services|a/x", first, None):
        record = await store.put("services|a/x", first, None)
    ip = first["spec"]["clusterIP"]
    assert ipaddress.IPv4Address(ip) in NETWORK
    wanted = service(clusterIP=ip)
    with (
        pytest.raises(Refusal, match="already allocated"),
        addresses.assigned("services|a/y", wanted, None),
    ):
        pass
    await store.delete("services|a/x", record.rev)
    with addresses.assigned("services|a/y", service(clusterIP=ip), None):
        pass
    store.close()


async def test_a_failed_create_gives_its_address_back(tmp_path: Path) -> None:
    """What was reserved for a Service that was not stored is free again."""
    store = Store(tmp_path / "db")
    store.start()
    addresses = Addresses(store, NETWORK)
    for _ in range(2):
        with addresses.assigned("services|a/x", service(clusterIP="10.96.7.7"), None):
            pass
    store.close()


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"clusterIP": "10.1.2.3"}, "not in the valid range"),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}, "not in the valid range"),
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path: Path, spec: dict[str, object], why: str) -> None:
    """Addresses and ports outside their ranges."""
    store = Store(tmp_path / "db")
    addresses = Addresses(store, NETWORK)
    with (
        pytest.raises(Refusal, match=why),
        addresses.assigned("services|a/x", service(**spec), None),
    ):
        pass
    store.close()


def test_headless_and_external_services_have_no_address(tmp_path: Path) -> None:
    """None stays None; ExternalName has nothing."""
    store = Store(tmp_path / "db")
    addresses = Addresses(store, NETWORK)
    headless, external = service(clusterIP="None"), service(type="ExternalName", externalName="x.example")
    with (
        addresses.assigned("services|a/x", headless, None),
        addresses.assigned("services|a/y", external, None),
    ):
        assert headless["spec"]["clusterIPs"] == ["None"]
        assert "clusterIP" not in external["spec"]
    store.close()
