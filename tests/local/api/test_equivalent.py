"""`matchPolicy: Equivalent`: a webhook for one version of a custom resource hears of all versions."""

from typing import Any

import pytest
from tests.local.api.conftest import Server

from linnet.kube.errors import ApiError

pytestmark = pytest.mark.wired

Json = dict[str, Any]

_EXTENSIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def _definition() -> Json:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": schema},
                {"name": "v1beta1", "served": True, "storage": False, "schema": schema},
            ],
        },
    }


def _hook(policy: str) -> Json:
    """A webhook that nobody serves: who asks it fails."""
    rule = {
        "apiGroups": ["example.com"],
        "apiVersions": ["v1beta1"],
        "resources": ["widgets"],
        "operations": ["CREATE"],
    }
    webhook = {
        "name": "widgets.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchPolicy": policy,
        "rules": [rule],
    }
    return {"metadata": {"name": "hook"}, "webhooks": [webhook]}


@pytest.mark.parametrize(("policy", "asked"), [("Equivalent", True), ("Exact", False)])
async def test_a_webhook_for_another_version(server: Server, policy: str, asked: bool) -> None:
    """The other version counts only if it is said to be equivalent."""
    await server.call("POST", _EXTENSIONS, _definition())
    await server.call("POST", _HOOKS, _hook(policy))
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    path = "/apis/example.com/v1/namespaces/default/widgets"
    if asked:
        with pytest.raises(ApiError, match=r'failed calling webhook "widgets\.example\.com"'):
            await server.call("POST", path, widget)
    else:
        await server.call("POST", path, widget)
