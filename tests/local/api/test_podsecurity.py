"""Pod security levels: what each forbids, and when that matters."""

from typing import Any

import aiohttp
import pytest
from tests.local.api.conftest import Server

from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import Forbidden, Invalid
from linnet.local.api import podsecurity

Json = dict[str, Any]

_NAMESPACE = "/api/v1/namespaces/default"
_GOOD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _spec(context: Json | None = None, **more: Any) -> Json:
    return {"containers": [{"name": "main", "image": "x", "securityContext": context or {}}], **more}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("spec", "baseline", "restricted"),
    [
        (_spec(_GOOD), [], []),
        (
            _spec(),
            [],
            [
                (
                    'allowPrivilegeEscalation != false (container "main" must set '
                    "securityContext.allowPrivilegeEscalation=false)"
                ),
                (
                    'unrestricted capabilities (container "main" must set '
                    'securityContext.capabilities.drop=["ALL"])'
                ),
                'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true)',
                (
                    'seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to '
                    '"RuntimeDefault" or "Localhost")'
                ),
            ],
        ),
        (
            _spec(_GOOD, hostNetwork=True, hostPID=True),
            ["host namespaces (hostNetwork=true, hostPID=true)"],
            ["host namespaces (hostNetwork=true, hostPID=true)"],
        ),
        (
            _spec(_GOOD, volumes=[{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "emptyDir": {}}]),
            ['hostPath volumes (volume "a")'],
            [
                'hostPath volumes (volume "a")',
                'restricted volume types (volume "a" uses restricted volume type "hostPath")',
            ],
        ),
        (
            _spec({**_GOOD, "privileged": True, "runAsUser": 0}),
            ['privileged (container "main" must not set securityContext.privileged=true)'],
            [
                'privileged (container "main" must not set securityContext.privileged=true)',
                'runAsUser=0 (container "main" must not set runAsUser=0)',
            ],
        ),
        (
            _spec({**_GOOD, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}),
            [
                (
                    'non-default capabilities (container "main" must not include "NET_ADMIN" in '
                    "securityContext.capabilities.add)"
                )
            ],
            [
                (
                    'unrestricted capabilities (container "main" must not include "NET_ADMIN" in '
                    "securityContext.capabilities.add)"
                )
            ],
        ),
    ],
)
def test_what_a_level_forbids(spec: Json, baseline: list[str], restricted: list[str]) -> None:
    """Each rule with its text, in order; the privileged level allows everything."""
    assert [one.shown() for one in podsecurity.violations(spec, "baseline")] == baseline
    assert [one.shown() for one in podsecurity.violations(spec, "restricted")] == restricted
    assert podsecurity.violations(spec, "privileged") == []


async def _label(server: Server, **labels: str | None) -> list[str]:
    """Label the namespace; the warnings of the answer."""
    config = from_kubeconfig(str(server.state / "admin.kubeconfig"))
    body = {"metadata": {"labels": {podsecurity.PREFIX + mode: level for mode, level in labels.items()}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with (
        aiohttp.ClientSession() as session,
        session.patch(
            config.server + _NAMESPACE, json=body, headers=headers, ssl=config.tls or False
        ) as answer,
    ):
        answer.raise_for_status()
        return answer.headers.getall("Warning", [])


@pytest.mark.wired
async def test_a_namespace_enforces_its_level(server: Server) -> None:
    """Existing pods are only spoken of, new ones are refused, workloads are warned about."""
    await server.account("default")
    await server.call("POST", f"{_NAMESPACE}/pods", {"metadata": {"name": "early"}, "spec": _spec()})
    warnings = await _label(server, enforce="restricted")
    assert len(warnings) == 2
    assert 'existing pods in namespace \\"default\\" violate' in warnings[0]
    assert "early: allowPrivilegeEscalation != false, unrestricted capabilities" in warnings[1]
    late = {"metadata": {"name": "late"}, "spec": _spec()}
    with pytest.raises(
        Forbidden, match='pods "late" is forbidden: violates PodSecurity "restricted:latest": '
    ):
        await server.call("POST", f"{_NAMESPACE}/pods", late)
    await server.call("POST", f"{_NAMESPACE}/pods", {"metadata": {"name": "good"}, "spec": _spec(_GOOD)})
    await _label(server, enforce=None)
    await server.call("POST", f"{_NAMESPACE}/pods", late)


@pytest.mark.wired
async def test_a_level_that_does_not_exist_is_refused(server: Server) -> None:
    """The label is named with what it may hold."""
    label = podsecurity.PREFIX + "enforce"
    body = {"metadata": {"name": "a", "labels": {label: "x"}}}
    with pytest.raises(Invalid, match="must be one of privileged, baseline, restricted"):
        await server.call("POST", "/api/v1/namespaces", body)
