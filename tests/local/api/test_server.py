"""The server as clients see it, over TLS."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from tests.local.api.conftest import Server

from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import ApiError
from linnet.local.api.options import Options
from linnet.local.api.serve import running

pytestmark = pytest.mark.wired

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "example.test/app:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [container]},
    }


async def refused(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


async def test_a_new_cluster_has_what_kubernetes_has(server: Server) -> None:
    """Namespaces, the API's own Service with endpoints, default roles, priority classes."""
    namespaces = await server.call("GET", "/api/v1/namespaces")
    assert [item["metadata"]["name"] for item in namespaces["items"]] == [
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
    ]
    service = await server.call("GET", "/api/v1/namespaces/default/services/kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    roles = await server.call("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles")
    assert len(roles["items"]) == 68
    version = await server.call("GET", "/version")
    assert version["gitVersion"] == "v1.35.4"


async def test_optimistic_concurrency(server: Server) -> None:
    """A write with an old resourceVersion is a conflict and changes nothing."""
    made = await server.call("POST", MAPS, config_map("a", x="1"))
    changed = await server.call("PUT", f"{MAPS}/a", {**made, "data": {"x": "2"}})
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    error = await refused(server.call("PUT", f"{MAPS}/a", {**made, "data": {"x": "3"}}))
    assert (error.code, error.reason) == (409, "Conflict")
    assert (await server.call("GET", f"{MAPS}/a"))["data"] == {"x": "2"}


async def test_a_write_that_changes_nothing_keeps_the_revision(server: Server) -> None:
    """No event, no new resourceVersion."""
    made = await server.call("POST", MAPS, config_map("a", x="1"))
    again = await server.call("PUT", f"{MAPS}/a", made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_pods_get_what_admission_adds(server: Server) -> None:
    """Token volume, tolerations, priority, quality of service; an unknown account is forbidden."""
    await server.account("default")
    made = await server.call("POST", PODS, pod("p"))
    spec = made["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert spec["volumes"][0]["name"].startswith("kube-api-access-")
    assert [one["tolerationSeconds"] for one in spec["tolerations"]] == [300, 300]
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    stranger = pod("q")
    stranger["spec"]["serviceAccountName"] = "nobody"
    error = await refused(server.call("POST", PODS, stranger))
    assert error.code == 403
    assert 'serviceaccount "nobody" not found' in error.message


async def test_status_belongs_to_its_subresource(server: Server) -> None:
    """A write to the object leaves the status alone, and the other way round; specs count generations."""
    path = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
        "status": {"replicas": 7},
    }
    made = await server.call("POST", path, deployment)
    assert made["status"] == {}
    status = {"status": {"replicas": 2}, "spec": {"replicas": 9}}
    patched = await server.call(
        "PATCH", f"{path}/d/status", status, Content_Type="application/merge-patch+json"
    )
    assert (patched["status"]["replicas"], patched["spec"]["replicas"]) == (2, 1)
    assert patched["metadata"]["generation"] == 1
    scaled = await server.call(
        "PATCH", f"{path}/d/scale", {"spec": {"replicas": 3}}, Content_Type="application/merge-patch+json"
    )
    assert scaled["spec"] == {"replicas": 3}
    now = await server.call("GET", f"{path}/d")
    assert (now["spec"]["replicas"], now["status"]["replicas"], now["metadata"]["generation"]) == (3, 2, 2)


async def test_finalizers_hold_an_object(server: Server) -> None:
    """A deleted object stays until its last finalizer is taken away, and takes no new ones."""
    held = config_map("a")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await server.call("POST", MAPS, held)
    marked = await server.call("DELETE", f"{MAPS}/a")
    assert marked["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    kind = "application/merge-patch+json"
    error = await refused(server.call("PATCH", f"{MAPS}/a", more, Content_Type=kind))
    assert error.code == 422
    await server.call("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, Content_Type=kind)
    assert (await refused(server.call("GET", f"{MAPS}/a"))).code == 404


async def test_pods_go_gracefully(server: Server) -> None:
    """A pod on a node is marked with its grace; the kubelet's delete with 0 seconds removes it."""
    await server.account("default")
    await server.call("POST", PODS, pod("p"))
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "node-1"}}
    await server.call("POST", f"{PODS}/p/binding", binding)
    again = await refused(server.call("POST", f"{PODS}/p/binding", binding))
    assert again.code == 409
    marked = await server.call("DELETE", f"{PODS}/p")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert (await server.call("GET", f"{PODS}/p"))["metadata"]["deletionTimestamp"]
    await server.call("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert (await refused(server.call("GET", f"{PODS}/p"))).code == 404


async def test_deletion_checks_its_preconditions(server: Server) -> None:
    """Another uid is a conflict."""
    await server.call("POST", MAPS, config_map("a"))
    error = await refused(server.call("DELETE", f"{MAPS}/a", {"preconditions": {"uid": "other"}}))
    assert (error.code, error.reason) == (409, "Conflict")


async def test_pages_are_one_snapshot(server: Server) -> None:
    """A continued list neither shows what came later nor misses what went."""
    for name in "abcdef":
        await server.call("POST", MAPS, config_map(name))
    first = await server.call("GET", f"{MAPS}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 4
    await server.call("POST", MAPS, config_map("bb"))
    await server.call("DELETE", f"{MAPS}/f")
    names = [item["metadata"]["name"] for item in first["items"]]
    token = first["metadata"]["continue"]
    while token:
        page = await server.call("GET", f"{MAPS}?limit=2&continue={token}")
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
    assert names == list("abcdef")


async def _events(server: Server, path: str, count: int) -> list[dict[str, Any]]:
    """The first events of a watch."""
    found: list[dict[str, Any]] = []
    config = from_kubeconfig(str(server.state / "admin.kubeconfig"))
    async with (
        asyncio.timeout(5),
        aiohttp.ClientSession() as session,
        session.get(config.server + path, ssl=config.tls or False) as response,
    ):
        async for line in response.content:
            found.append(orjson.loads(line))
            if len(found) == count:
                break
    return found


async def test_watches_resume_and_follow_selections(server: Server) -> None:
    """From a revision on; an object that leaves a selection is deleted for its watch."""
    since = (await server.call("GET", MAPS))["metadata"]["resourceVersion"]
    kind = "application/merge-patch+json"
    await server.call("POST", MAPS, config_map("a"))
    await server.call("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"x": "y"}}}, Content_Type=kind)
    await server.call("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, Content_Type=kind)
    await server.call("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"x": "z"}}}, Content_Type=kind)
    await server.call("DELETE", f"{MAPS}/a")
    every = await _events(server, f"{MAPS}?watch=1&resourceVersion={since}", 5)
    assert [event["type"] for event in every] == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    some = await _events(server, f"{MAPS}?watch=1&labelSelector=x%3Dy&resourceVersion={since}", 3)
    assert [event["type"] for event in some] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_watch_list_begins_with_what_is_there(server: Server) -> None:
    """The objects of now, then a bookmark that says so, then changes."""
    await server.call("POST", MAPS, config_map("a"))
    path = f"{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await _events(server, path, 2)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    marks = events[1]["object"]["metadata"]["annotations"]
    assert marks == {"k8s.io/initial-events-end": "true"}


async def test_tables(server: Server) -> None:
    """The form that kubectl asks for, in lists and in watches."""
    await server.call("POST", MAPS, config_map("a", x="1"))
    listed = await server.call("GET", MAPS, Accept=TABLE)
    assert [column["name"] for column in listed["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert listed["rows"][0]["cells"][:2] == ["a", "1"]
    assert listed["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/nosuch.example/v1/things", 404),
        ("GET", "/api/v1/nosuch", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/nosuch", 404),
        ("POST", "/api/v1/namespaces/default/pods/x", 405),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/namespaces/default/pods?fieldSelector=spec.x%3D1", 400),
        ("GET", "/api/v1/pods?resourceVersion=abc", 400),
        ("GET", "/api/v1/pods?continue=zzz", 400),
    ],
)
async def test_what_is_not_served_is_refused_politely(
    server: Server, method: str, path: str, code: int
) -> None:
    """Kubernetes' own codes, never a 500."""
    assert (await refused(server.call(method, path, {} if method != "GET" else None))).code == code


async def test_unknown_bodies_are_415(server: Server) -> None:
    """A body in a form that nobody knows."""
    error = await refused(server.call("POST", MAPS, config_map("a"), Content_Type="text/plain"))
    assert (error.code, error.reason) == (415, "UnsupportedMediaType")


async def test_strangers_see_the_version_and_nothing_else(server: Server) -> None:
    """Without credentials: version and health; anything else is forbidden; a bad token is 401."""
    config = from_kubeconfig(str(server.state / "admin.kubeconfig"))
    tls = ssl.create_default_context(cadata=config.ca.decode())
    async with aiohttp.ClientSession() as session:

        async def code(path: str, **headers: str) -> int:
            async with session.get(config.server + path, ssl=tls, headers=headers) as response:
                return response.status

        assert [await code(path) for path in ("/version", "/healthz", "/readyz")] == [200, 200, 200]
        assert [await code(path) for path in ("/", "/api", "/api/v1/pods")] == [403, 403, 403]
        assert await code("/version", Authorization="Bearer nonsense") == 401


async def test_tokens_act_for_their_account(server: Server) -> None:
    """A requested token is the account, with its roles and nothing more; it dies with the account."""
    await server.account("default")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    token = (await server.call("POST", f"{accounts}/default/token", request))["status"]["token"]
    config = from_kubeconfig(str(server.state / "admin.kubeconfig"))
    tls = ssl.create_default_context(cadata=config.ca.decode())
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def code() -> int:
            async with session.get(config.server + MAPS, ssl=tls) as response:
                return response.status

        assert await code() == 403
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "b"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
        }
        bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
        await server.call("POST", bindings, binding)
        assert await code() == 200
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        reviewed = await server.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert reviewed["status"]["user"]["username"] == "system:serviceaccount:default:default"
        await server.call("DELETE", f"{accounts}/default")
        assert await code() == 401


async def test_impersonation_is_a_right(server: Server) -> None:
    """The administrator may be anybody; whom he is then decides."""
    error = await refused(server.call("GET", "/api/v1/nodes", Impersonate_User="alice"))
    assert (error.code, error.reason) == (403, "Forbidden")
    assert 'User "alice" cannot list resource "nodes"' in error.message
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await server.call("POST", path, review))["status"]["allowed"] is True
    assert (await server.call("POST", path, review, Impersonate_User="alice"))["status"]["allowed"] is False


async def test_custom_resources_are_served_at_once(server: Server) -> None:
    """A CRD that is answered is served; its watches end when it goes."""
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await server.call("POST", definitions, definition)
    widgets = "/apis/example.com/v1/namespaces/default/widgets"
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    made = await server.call("POST", widgets, {**widget, "spec": {"size": 3, "other": 1}})
    assert made["spec"] == {"size": 3}
    wrong = {**widget, "metadata": {"name": "x"}, "spec": {"size": "big"}}
    assert (await refused(server.call("POST", widgets, wrong))).code == 422
    await server.call("DELETE", f"{definitions}/widgets.example.com")
    assert (await refused(server.call("GET", widgets))).code == 404


async def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    """The same directory again: same objects, same CA, kubeconfigs stay good."""
    path = "/api/v1/namespaces/default/configmaps"
    authorities = []
    for attempt in range(2):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            async with running(Options(state=tmp_path, sockets=(listening,))):
                config = from_kubeconfig(str(tmp_path / "admin.kubeconfig"))
                authorities.append(config.ca)
                async with Client(config) as client:
                    if attempt == 0:
                        body = orjson.dumps(config_map("a", x="1"))
                        await client.raw(
                            "POST", path, body=body, headers={"Content-Type": "application/json"}
                        )
                    assert orjson.loads(await client.raw("GET", f"{path}/a"))["data"] == {"x": "1"}
    assert authorities[0] == authorities[1]


@pytest.mark.parametrize(
    "body", [{"preconditions": []}, {"gracePeriodSeconds": "x"}, {"dryRun": 7}, [], 7, None]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"{MAPS}/a"),
        ("POST", f"{PODS}/a/binding"),
        ("POST", f"{PODS}/a/eviction"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/a/token"),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
        ("PUT", "/apis/apps/v1/namespaces/default/deployments/a/scale"),
    ],
)
async def test_nonsense_never_is_a_500(server: Server, method: str, path: str, body: object) -> None:
    """Options and reviews of wrong types are the client's mistake."""
    config = from_kubeconfig(str(server.state / "admin.kubeconfig"))
    sent = orjson.dumps({"spec": body} if method != "DELETE" else body)
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, config.server + path, data=sent, headers=headers, ssl=config.tls or False
        ) as response,
    ):
        assert response.status < 500, await response.text()


async def test_kinds_that_nothing_acts_on_say_so(server: Server) -> None:
    """A Job is stored, with a warning that no pods come of it."""
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": {**pod("x")["spec"], "restartPolicy": "Never"}}},
    }
    config = from_kubeconfig(str(server.state / "admin.kubeconfig"))
    url = f"{config.server}/apis/batch/v1/namespaces/default/jobs"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=job, ssl=config.tls or False) as response,
    ):
        assert response.status == 201
        assert response.headers["Warning"] == (
            '299 - "the local cluster only stores a Job: no pods are made for it"'
        )
