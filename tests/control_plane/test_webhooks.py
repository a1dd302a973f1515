"""The webhooks over HTTP: whatever happens inside, the API server gets an answer that it can pass on."""

import json

import aiohttp
import pytest

from linnet.control_plane import http
from linnet.control_plane.metrics import Metrics
from linnet.control_plane.settings import Address
from linnet.control_plane.webhooks import Injection, Webhooks
from linnet.inject.configuration import parse

pytestmark = pytest.mark.wired

VALUES = {"global": {"hub": "linnet", "tag": "1", "proxy": {}}}
# `update` would refuse this configuration: what its template gives is no part of a pod
BROKEN = 'policy: enabled\ntemplates: {sidecar: "spec: no mapping"}\n'
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main"}]}}
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {"uid": "u-1", "namespace": "shop", "object": POD},
}


async def test_a_fault_of_ours_is_said() -> None:
    """Not an HTTP error, of which users would see only that the webhook failed."""
    data = {"config": BROKEN, "values": json.dumps(VALUES)}
    broken = parse(data, "{}", revision="canary", namespace="istio-system")
    injection = Injection("canary", "istio-system", current=broken, error="")
    hooks = Webhooks(injection, lambda body: body, Metrics())
    async with (
        http.serving(hooks.routes(), Address(0, "127.0.0.1")) as port,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/inject", json=REVIEW) as answer,
    ):
        assert answer.status == 200
        response = (await answer.json())["response"]
    assert response["uid"] == "u-1"
    assert response["allowed"] is False
    assert "sidecar injection of revision canary: internal fault" in response["status"]["message"]
