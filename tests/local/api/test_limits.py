"""Limits of a namespace: LimitRanges and ResourceQuotas."""

import asyncio
from typing import Any

import pytest
from tests.local.api.conftest import Server

from linnet.kube.errors import Forbidden
from linnet.local.api import limits

Json = dict[str, Any]

_NAMESPACE = "/api/v1/namespaces/default"


def _pod(name: str, requests: Json | None = None, most: Json | None = None) -> Json:
    resources = {"requests": requests or {}, "limits": most or {}}
    spec = {"containers": [{"name": "main", "image": "x", "resources": resources}]}
    return {"metadata": {"name": name}, "spec": spec}


def _range(kind: str = "Container", **limit: Json) -> Json:
    return {"metadata": {"name": "r"}, "spec": {"limits": [{"type": kind, **limit}]}}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("limit", "requests", "most", "wanted"),
    [
        (
            {"max": {"cpu": "500m"}},
            {},
            {"cpu": "2"},
            "maximum cpu usage per Container is 500m, but limit is 2",
        ),
        ({"max": {"cpu": "1"}}, {}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        (
            {"min": {"memory": "1Gi"}},
            {"memory": "512Mi"},
            {},
            "minimum memory usage per Container is 1Gi, but request is 512Mi",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "100m"},
            {"cpu": "400m"},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 4",
        ),
        ({"max": {"cpu": "500m"}}, {"cpu": "100m"}, {"cpu": "0.5"}, ""),
    ],
)
def test_bounds_of_containers(limit: Json, requests: Json, most: Json, wanted: str) -> None:
    """Each bound with its text."""
    assert limits.complaint(_pod("p", requests, most), [_range(**limit)]).startswith(wanted)
    assert bool(limits.complaint(_pod("p", requests, most), [_range(**limit)])) == bool(wanted)


@pytest.mark.unit
def test_bounds_of_pods_count_all_containers() -> None:
    """Containers add up; an init container counts if it wants more than they."""
    pod = _pod("p", {"cpu": "300m"}, {"cpu": "600m"})
    pod["spec"]["containers"].append(pod["spec"]["containers"][0])
    assert limits.complaint(pod, [_range("Pod", max={"cpu": "1"})]) == (
        "maximum cpu usage per Pod is 1, but limit is 1200m"
    )
    init = {"name": "i", "resources": {"limits": {"cpu": "2", "memory": "1Ki"}}}
    pod["spec"]["initContainers"] = [init]
    assert limits.total(pod["spec"]) == {
        "requests": {"cpu": "600m"},
        "limits": {"cpu": "2", "memory": "1024"},
    }


@pytest.mark.wired
async def test_a_range_completes_and_bounds_new_pods(server: Server) -> None:
    """What a pod leaves out it gets, with a note; what is too much is refused."""
    await server.account("default")
    limit = {"default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "500m"}}
    await server.call("POST", f"{_NAMESPACE}/limitranges", _range(**limit))
    made = await server.call("POST", f"{_NAMESPACE}/pods", _pod("a"))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "200m"},
        "requests": {"cpu": "100m"},
    }
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container main; "
        "cpu limit for container main"
    }
    with pytest.raises(Forbidden, match='pods "b" is forbidden: maximum cpu usage per Container is 500m'):
        await server.call("POST", f"{_NAMESPACE}/pods", _pod("b", most={"cpu": "2"}))


@pytest.mark.wired
async def test_a_quota_has_room_or_refuses(server: Server) -> None:
    """The refusal says what was asked, used and allowed; deleting makes room; the status follows."""
    await server.account("default")
    hard = {"pods": "1", "count/configmaps": "3", "limits.cpu": "1"}
    quota = {"metadata": {"name": "q"}, "spec": {"hard": hard}}
    await server.call("POST", f"{_NAMESPACE}/resourcequotas", quota)
    small = {"cpu": "500m"}
    with pytest.raises(Forbidden, match=r"failed quota: q: must specify limits\.cpu for: main"):
        await server.call("POST", f"{_NAMESPACE}/pods", _pod("a"))
    await server.call("POST", f"{_NAMESPACE}/pods", _pod("a", most=small))
    with pytest.raises(Forbidden) as refused:
        await server.call("POST", f"{_NAMESPACE}/pods", _pod("b", most=small))
    assert refused.value.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    )
    await _status(server, {"pods": "1", "count/configmaps": "0", "limits.cpu": "500m"})
    await server.call("DELETE", f"{_NAMESPACE}/pods/a?gracePeriodSeconds=0")
    await server.call("POST", f"{_NAMESPACE}/pods", _pod("b", most=small))


@pytest.mark.wired
async def test_concurrent_creations_do_not_exceed_a_quota(server: Server) -> None:
    """Of many at once only as many as fit are stored."""
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "3"}}}
    await server.call("POST", f"{_NAMESPACE}/resourcequotas", quota)
    refused = 0

    async def ask(name: str) -> None:
        nonlocal refused
        try:
            await server.call("POST", f"{_NAMESPACE}/configmaps", {"metadata": {"name": name}})
        except Forbidden:
            refused += 1

    async with asyncio.TaskGroup() as tasks:
        for at in range(12):
            tasks.create_task(ask(f"c{at}"))
    assert refused == 9
    await _status(server, {"configmaps": "3"})


async def _status(server: Server, used: Json) -> None:
    """Return when the status says so."""
    async with asyncio.timeout(60):
        while True:
            found = await server.call("GET", f"{_NAMESPACE}/resourcequotas/q")
            if (found.get("status") or {}).get("used") == used:
                return
            await asyncio.sleep(0.02)
