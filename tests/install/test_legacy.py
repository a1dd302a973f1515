"""The validator of Istio before 1.11, on a real API server: it goes, or fails open, or stays."""

from collections.abc import AsyncIterator, Callable

import pytest

from linnet.install import legacy
from linnet.install.install import make_namespace
from linnet.install.plane import Plane
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import NotFound
from linnet.kube.kinds import ENDPOINT_SLICE, SERVICE, VALIDATING_WEBHOOK

pytestmark = pytest.mark.wired
SPACE = "istio-system"
NAME = f"istiod-{SPACE}"


@pytest.fixture
async def client(api_server: str) -> AsyncIterator[Client]:
    """Its administrator."""
    async with Client(from_kubeconfig(api_server)) as client:
        yield client


async def policy(client: Client) -> str:
    """What happens to an object when the old validator cannot be called."""
    live = await client.get(VALIDATING_WEBHOOK, NAME)
    return str(live["webhooks"][0]["failurePolicy"])


async def test_the_old_validator_is_settled(client: Client, plane: Callable[..., Plane]) -> None:
    """It is left alone while somebody answers, fails open when nobody does, and goes with its Service."""
    made = plane("canary")
    await make_namespace(client, made)
    assert await legacy.settle(client, made) == ""
    hook = {
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": "validation.istio.io",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "clientConfig": {"service": {"name": "istiod", "namespace": SPACE, "path": "/validate"}},
                "rules": [
                    {
                        "apiGroups": ["networking.istio.io"],
                        "apiVersions": ["*"],
                        "resources": ["*"],
                        "operations": ["CREATE"],
                    }
                ],
            }
        ],
    }
    slices = {
        "metadata": {
            "name": "istiod-1",
            "namespace": SPACE,
            "labels": {"kubernetes.io/service-name": "istiod"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.1.1"], "conditions": {"ready": True}}],
        "ports": [{"port": 15017}],
    }
    await client.create(VALIDATING_WEBHOOK, hook)
    ports = {"ports": [{"port": 443}]}
    await client.create(SERVICE, {"metadata": {"name": "istiod", "namespace": SPACE}, "spec": ports})
    await client.create(ENDPOINT_SLICE, slices)
    assert await legacy.settle(client, made) == ""
    assert await policy(client) == "Fail"

    await client.delete(ENDPOINT_SLICE, "istiod-1", SPACE)
    for dry_run, expected in ((True, "Fail"), (False, "Ignore")):
        told = await legacy.settle(client, made, dry_run=dry_run)
        assert told == (
            f"the old validator {NAME} no longer refuses what it cannot check: "
            f"its Service {SPACE}/istiod has no endpoint that is ready"
        )
        assert await policy(client) == expected
    assert await legacy.settle(client, made) == ""

    await client.delete(SERVICE, "istiod", SPACE)
    for dry_run in (True, False):
        told = await legacy.settle(client, made, dry_run=dry_run)
        assert told == f"removed the old validator {NAME}: its Service is gone"
    with pytest.raises(NotFound):
        await client.get(VALIDATING_WEBHOOK, NAME)
