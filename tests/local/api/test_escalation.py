"""Who writes roles gives away no more than they have."""

from typing import Any

import pytest
from tests.local.api.conftest import Server

from linnet.kube.errors import Forbidden, NotFound

pytestmark = pytest.mark.wired

Json = dict[str, Any]

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"


def _role(name: str, *rules: Json, kind: str = "Role") -> Json:
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": {"name": name}, "rules": [*rules]}


def _binding(name: str, role: str, kind: str = "ClusterRole") -> Json:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": role},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": _GROUP}],
    }


_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
_NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}


@pytest.fixture
async def jane(server: Server) -> Server:
    """A server where jane administers one namespace."""
    path = f"{_RBAC}/namespaces/default/rolebindings"
    await server.call("POST", path, _binding("jane", "admin"))
    return server


async def test_a_role_holds_no_more_than_its_author(jane: Server) -> None:
    """What the author may do can be given away, anything else is named in the refusal."""
    path = f"{_RBAC}/namespaces/default/roles"
    await jane.call("POST", path, _role("pods", _PODS), Impersonate_User="jane")
    with pytest.raises(Forbidden) as refused:
        await jane.call("POST", path, _role("nodes", _PODS, _NODES), Impersonate_User="jane")
    assert refused.value.message == (
        'roles.rbac.authorization.k8s.io "nodes" is forbidden: user "jane" (groups=["system:authenticated"]) '
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}'
    )
    wider = _role("pods", _PODS, _NODES)
    with pytest.raises(Forbidden):
        await jane.call("PUT", f"{path}/pods", wider, Impersonate_User="jane")


async def test_a_binding_gives_no_more_than_its_author_has(jane: Server) -> None:
    """The rights of the role count, unless the author may bind that role."""
    path = f"{_RBAC}/namespaces/default/rolebindings"
    await jane.call("POST", path, _binding("view", "view"), Impersonate_User="jane")
    with pytest.raises(Forbidden, match=r'\{NonResourceURLs:\["\*"\], Verbs:\["\*"\]\}'):
        await jane.call("POST", path, _binding("all", "cluster-admin"), Impersonate_User="jane")
    with pytest.raises(NotFound):
        await jane.call("POST", path, _binding("none", "none"), Impersonate_User="jane")
    rule = {"apiGroups": [_GROUP], "resources": ["clusterroles"], "verbs": ["bind"]}
    await jane.call("POST", f"{_RBAC}/clusterroles", _role("binder", rule, kind="ClusterRole"))
    await jane.call("POST", f"{_RBAC}/clusterrolebindings", _binding("binder", "binder"))
    await jane.call("POST", path, _binding("all", "cluster-admin"), Impersonate_User="jane")


async def test_roles_without_rules_say_so(server: Server) -> None:
    """Rules are there as null, and nobody owns them."""
    role = _role("empty", kind="ClusterRole")
    del role["rules"]
    made = await server.call("POST", f"{_RBAC}/clusterroles", role)
    assert made["rules"] is None
    owned = made["metadata"].get("managedFields") or []
    assert all("f:rules" not in entry["fieldsV1"] for entry in owned)
