"""Patches: RFC 6902, RFC 7396 and Kubernetes' strategic merge."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.local.api.definitions import definitions
from linnet.local.api.patching import PatchError, json_patch, merge_patch, strategic_patch
from linnet.local.api.schemas import Node, Schemas

pytestmark = pytest.mark.unit

Json = dict[str, Any]

_SCALARS = st.one_of(st.booleans(), st.integers(-5, 5), st.text("abc", max_size=3))
_KEYS = st.text("abcd/~", min_size=1, max_size=3)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=8,
)
_DOCS = st.dictionaries(_KEYS, _VALUES, max_size=4)


@pytest.fixture(scope="module")
def deployment() -> Node:
    """The schema of a Deployment."""
    found = Schemas(definitions()).of("apps", "v1", "Deployment")
    assert found is not None
    return found


def _with(*containers: Json) -> Json:
    return {"spec": {"template": {"spec": {"containers": list(containers)}}}}


def _containers(doc: Json) -> list[Json]:
    found: list[Json] = doc["spec"]["template"]["spec"]["containers"]
    return found


def _merge_difference(old: Json, new: Json) -> Json:
    """The merge patch that makes `new` out of `old`."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch[key] = _merge_difference(old[key], value)
        elif key not in old or old[key] is not value:
            patch[key] = value
    return patch


@pytest.mark.laws
@given(_DOCS, _DOCS)
def test_a_merge_patch_leads_from_any_document_to_any_other(old: Json, new: Json) -> None:
    """The difference of two documents, applied to the first, gives the second."""
    before = copy.deepcopy(old)
    assert merge_patch(old, _merge_difference(old, new)) == new
    assert old == before


@pytest.mark.laws
@given(_DOCS, _DOCS)
def test_a_merge_patch_twice_is_the_same_as_once(doc: Json, patch: Json) -> None:
    """A merge patch is idempotent."""
    once = merge_patch(doc, patch)
    assert merge_patch(once, patch) == once


@pytest.mark.laws
@given(_DOCS, _KEYS, _VALUES)
def test_what_a_json_patch_adds_is_there_and_can_be_taken_away(doc: Json, key: str, value: Any) -> None:
    """Add, test and remove fit together, whatever has to be escaped; the given document stays as it is."""
    before = copy.deepcopy(doc)
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    added = json_patch(
        doc, [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}]
    )
    assert added == {**doc, key: value}
    removed = json_patch(added, [{"op": "remove", "path": path}])
    assert removed == {name: child for name, child in doc.items() if name != key}
    assert doc == before


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/l/0", "value": 9}], {"l": [9, 1, 2], "m": {"x": True}}),
        ([{"op": "add", "path": "/l/-", "value": 9}], {"l": [1, 2, 9], "m": {"x": True}}),
        ([{"op": "remove", "path": "/l/0"}], {"l": [2], "m": {"x": True}}),
        ([{"op": "replace", "path": "/m/x", "value": 1}], {"l": [1, 2], "m": {"x": 1}}),
        ([{"op": "move", "from": "/m/x", "path": "/y"}], {"l": [1, 2], "m": {}, "y": True}),
        ([{"op": "copy", "from": "/l", "path": "/m/l"}], {"l": [1, 2], "m": {"x": True, "l": [1, 2]}}),
    ],
)
def test_json_patch_operations(operations: list[Json], expected: Json) -> None:
    """Each operation does what the RFC says."""
    assert json_patch({"l": [1, 2], "m": {"x": True}}, operations) == expected


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            {"op": "replace", "path": "/a/b", "value": 1},
            "replace operation does not apply: doc is missing path: /a/b: missing value",
        ),
        (
            {"op": "remove", "path": "/nosuch"},
            "remove operation does not apply: doc is missing path: /nosuch: missing value",
        ),
        ({"op": "test", "path": "/x", "value": 1}, "testing value /x failed: test failed"),
        ({"op": "nosuch", "path": "/x"}, "Unexpected kind: nosuch"),
    ],
)
def test_json_patch_refuses_what_does_not_fit(operation: Json, message: str) -> None:
    """A failing operation names itself and its path; true is not 1."""
    with pytest.raises(PatchError) as raised:
        json_patch({"x": True}, [operation])
    assert raised.value.message == message


def test_strategic_patch_merges_containers_by_name(deployment: Node) -> None:
    """A known container is merged, a new one stands in front of those that only the server has."""
    doc = _with({"name": "app", "image": "app:1", "env": [{"name": "A", "value": "1"}]})
    patch = _with({"name": "app", "env": [{"name": "B", "value": "2"}]}, {"name": "side", "image": "side:2"})
    app, side = _containers(strategic_patch(doc, patch, deployment))
    assert app == {
        "name": "app",
        "image": "app:1",
        "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
    }
    assert side == {"name": "side", "image": "side:2"}
    only_new = _containers(strategic_patch(doc, _with({"name": "side", "image": "side:2"}), deployment))
    assert [container["name"] for container in only_new] == ["side", "app"]


def test_strategic_patch_follows_the_order_of_the_patch(deployment: Node) -> None:
    """`$setElementOrder` decides the order of the listed elements."""
    doc = _with({"name": "a"}, {"name": "b"}, {"name": "c"})
    patch: Json = {
        "spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}}}
    }
    names = [container["name"] for container in _containers(strategic_patch(doc, patch, deployment))]
    assert names.index("c") < names.index("a")
    assert sorted(names) == ["a", "b", "c"]


def test_strategic_patch_directives(deployment: Node) -> None:
    """Deleting, replacing, retaining keys, and taking primitives out of lists."""
    doc = _with({"name": "a", "image": "a"}, {"name": "b", "image": "b"})
    deleted = strategic_patch(doc, _with({"$patch": "delete", "name": "a"}), deployment)
    assert [container["name"] for container in _containers(deleted)] == ["b"]
    replaced = strategic_patch(doc, _with({"$patch": "replace"}, {"name": "c"}), deployment)
    assert _containers(replaced) == [{"name": "c"}]
    strategy: Json = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    recreate: Json = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_patch(strategy, recreate, deployment) == {"spec": {"strategy": {"type": "Recreate"}}}
    meta: Json = {"metadata": {"finalizers": ["a/x", "b/y"]}}
    gone: Json = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"]}}
    assert strategic_patch(meta, gone, deployment) == {"metadata": {"finalizers": ["b/y"]}}
    added: Json = {"metadata": {"finalizers": ["c/z"]}}
    assert sorted(strategic_patch(meta, added, deployment)["metadata"]["finalizers"]) == ["a/x", "b/y", "c/z"]


def test_strategic_patch_needs_merge_keys(deployment: Node) -> None:
    """An element without its key is a mistake in the patch, not in the object."""
    with pytest.raises(PatchError) as raised:
        strategic_patch(_with({"name": "a"}), _with({"image": "x"}), deployment)
    assert raised.value.code == 400
    assert "does not contain declared merge key: name" in raised.value.message


_CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd"), "image": st.text("xyz", max_size=2)}),
    max_size=4,
    unique_by=lambda container: container["name"],
)


@pytest.mark.laws
@given(_CONTAINERS, _CONTAINERS)
def test_strategic_patch_holds_every_element_once(live: list[Json], patch: list[Json]) -> None:
    """The result has the elements of both sides, the patch's values, and is stable under the same patch."""
    node = Schemas(definitions()).of("apps", "v1", "Deployment")
    assert node is not None
    once = strategic_patch(_with(*live), _with(*patch), node)
    assert {c["name"]: c["image"] for c in _containers(once)} == {
        **{c["name"]: c["image"] for c in live},
        **{c["name"]: c["image"] for c in patch},
    }
    assert len(_containers(once)) == len({c["name"] for c in [*live, *patch]})
    again = strategic_patch(once, _with(*patch), node)
    assert {c["name"]: c for c in _containers(again)} == {c["name"]: c for c in _containers(once)}
