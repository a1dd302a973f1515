"""What method and path ask for."""

import pytest

from linnet.local.api.paths import Target, target

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"watch": "True"}, ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b", {}, ("get", "", "v1", "pods", "a", "b", "")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", {}, ("get", "", "v1", "pods", "a", "b", "log")),
        (
            "PUT",
            "/api/v1/namespaces/a/finalize",
            {},
            ("update", "", "v1", "namespaces", "a", "a", "finalize"),
        ),
        ("GET", "/api/v1/namespaces/a", {}, ("get", "", "v1", "namespaces", "a", "a", "")),
        ("GET", "/api/v1/namespaces", {}, ("list", "", "v1", "namespaces", "", "", "")),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            {},
            ("deletecollection", "apps", "v1", "deployments", "a", "", ""),
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            {},
            ("patch", "apps", "v1", "deployments", "a", "d", "scale"),
        ),
        ("GET", "/api/v1/watch/namespaces/a/pods", {}, ("watch", "", "v1", "pods", "a", "", "")),
    ],
)
def test_resources(method: str, path: str, query: dict[str, str], expected: tuple[str, ...]) -> None:
    """Verb, group, version, resource, namespace, name and subresource of a path."""
    found = target(method, path, query)
    shown = (
        found.verb,
        found.group,
        found.version,
        found.resource,
        found.namespace,
        found.name,
        found.subresource,
    )
    assert shown == expected


@pytest.mark.parametrize(
    "path", ["/", "/version", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3/apis/apps/v1"]
)
def test_other_paths(path: str) -> None:
    """What is not a resource is only a path."""
    assert target("GET", path, {}) == Target("get", path)
