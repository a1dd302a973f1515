"""EndpointSlices say what pods are."""

import pytest

from linnet.local.controllers.slices import endpoint_slices, endpoints_object

pytestmark = pytest.mark.unit
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop", "uid": "s", "labels": {"app": "web"}},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
}


def pod(name, *, ready=True, port=8080, deleting=False, ip="10.244.0.2"):
    meta = {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return {
        "metadata": meta,
        "spec": {"nodeName": "node-1", "containers": [{"ports": [{"name": "http", "containerPort": port}]}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def conditions(pods):
    return [e["conditions"] for found in endpoint_slices(SERVICE, pods) for e in found["endpoints"]]


def test_ready_and_not_ready():
    """All three conditions are always told."""
    assert conditions([pod("a"), pod("b", ready=False)]) == [
        {"ready": True, "serving": True, "terminating": False},
        {"ready": False, "serving": False, "terminating": False},
    ]


def test_a_terminating_pod_serves_but_is_not_ready():
    """A pod on its way out that still answers is serving and terminating, never ready."""
    assert conditions([pod("a", deleting=True)]) == [{"ready": False, "serving": True, "terminating": True}]
    assert "subsets" not in endpoints_object(SERVICE, [pod("a", deleting=True)])


def test_no_pods_make_one_empty_slice():
    """A service without pods has one slice, without ports."""
    (only,) = endpoint_slices(SERVICE, [])
    assert (only["endpoints"], only["ports"]) == ([], None)
    assert only["metadata"]["labels"]["kubernetes.io/service-name"] == "web"


def test_a_named_port_is_each_pods_own():
    """Pods that give a named port another number stand in another slice."""
    slices = endpoint_slices(SERVICE, [pod("a"), pod("b", port=9090)])
    assert [found["ports"][0]["port"] for found in slices] == [8080, 9090]


def test_a_hundred_endpoints_a_slice():
    """Large services are cut into slices of a hundred."""
    slices = endpoint_slices(SERVICE, [pod(f"p{n:03}") for n in range(150)])
    assert [len(found["endpoints"]) for found in slices] == [100, 50]
