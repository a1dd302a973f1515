"""Field ownership and server-side apply."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.local.api import fieldsets, managed, newfields
from linnet.local.api.definitions import definitions
from linnet.local.api.managed import ApplyConflict, ApplyError
from linnet.local.api.schemas import Node, Schemas
from linnet.local.api.typed import compared

pytestmark = pytest.mark.unit

Json = dict[str, Any]

_NOW = "2026-01-01T00:00:00Z"
_LATER = "2026-01-02T00:00:00Z"
_SCHEMAS = Schemas(definitions())

_ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', "v:1"])
_SETS = st.recursive(
    st.just(fieldsets.leaf()),
    lambda inner: st.dictionaries(_ELEMENTS, inner, min_size=1, max_size=3),
    max_leaves=8,
)


def _node(group: str, kind: str) -> Node:
    found = _SCHEMAS.of(group, "v1", kind)
    assert found is not None
    return found


def _deployment(**changes: Any) -> Json:
    spec: Json = {
        "replicas": changes.get("replicas", 1),
        "selector": {"matchLabels": {"app": "app"}},
        "template": {
            "metadata": {"labels": {"app": "app"}},
            "spec": {"containers": [{"name": "main", "image": changes.get("image", "app:1")}]},
        },
    }
    meta = {"name": "app", "namespace": "d8", "labels": {"a": "1"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def _apply(live: Json | None, config: Json, manager: str = "kubectl", **more: Any) -> Json:
    kind = config["kind"]
    node = _node("apps" if kind == "Deployment" else "", kind)
    return managed.applied(
        live, config, manager=manager, schema=node, api_version=config["apiVersion"], now=_NOW, **more
    )


def _update(live: Json | None, new: Json, manager: str, **more: Any) -> Json:
    node = _node("apps" if new["kind"] == "Deployment" else "", new["kind"])
    return managed.updated(
        live, new, manager=manager, schema=node, api_version=new["apiVersion"], **{"now": _LATER, **more}
    )


def _config_map(**data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def _owned(obj: Json) -> dict[str, Json]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def test_an_applier_owns_what_it_sets() -> None:
    """The entry of a first apply has exactly the fields of the configuration."""
    obj = _apply(None, _deployment())
    (entry,) = obj["metadata"]["managedFields"]
    assert entry == {
        "manager": "kubectl",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "time": _NOW,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {"f:containers": {'k:{"name":"main"}': {".": {}, "f:image": {}, "f:name": {}}}},
                },
            },
        },
    }


def test_conflicts_name_managers_and_fields() -> None:
    """One conflict is one line, several are grouped by manager; the texts are kubectl's."""
    live = _apply(None, _deployment())
    with pytest.raises(ApplyConflict) as raised:
        _apply(live, _deployment(replicas=3, image="app:2"), "second")
    assert raised.value.message == (
        'Apply failed with 2 conflicts: conflicts with "kubectl":\n'
        '- .spec.replicas\n- .spec.template.spec.containers[name="main"].image'
    )
    live = _update(live, {**live, "spec": {**live["spec"], "replicas": 2}}, "kubectl", subresource="scale")
    with pytest.raises(ApplyConflict) as raised:
        _apply(live, _deployment(replicas=3))
    assert raised.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: '
        ".spec.replicas"
    )
    assert raised.value.causes == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl" with subresource "scale" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_force_takes_ownership() -> None:
    """After a forced apply the former owner has lost exactly the fields in conflict."""
    live = _apply(None, _deployment())
    obj = _apply(live, _deployment(replicas=3), "second", force=True)
    assert obj["spec"]["replicas"] == 3
    owned = _owned(obj)
    assert "f:replicas" in owned["second"]["f:spec"]
    assert "f:replicas" not in owned["kubectl"]["f:spec"]
    assert "f:selector" in owned["kubectl"]["f:spec"]


def test_what_is_no_longer_applied_goes_away() -> None:
    """A key that its only owner leaves out is removed, one that another owns stays."""
    live = _apply(None, _config_map(a="1", b="2"))
    live = _apply(live, _config_map(b="2"), "second")
    obj = _apply(live, {name: value for name, value in _config_map().items() if name != "data"})
    assert obj["data"] == {"b": "2"}
    assert set(_owned(obj)) == {"second"}


def test_client_side_apply_hands_over_to_server_side_apply() -> None:
    """kubectl does not conflict with its own earlier client-side apply, and keeps its record."""
    before = '{"apiVersion":"v1","data":{"a":"1"},"kind":"ConfigMap","metadata":{"name":"c"}}'
    note = {"kubectl.kubernetes.io/last-applied-configuration": before}
    first = _config_map(a="1")
    first["metadata"]["annotations"] = note
    live = _update(None, first, "kubectl-client-side-apply")
    obj = _apply(live, _config_map(a="2"))
    assert obj["data"] == {"a": "2"}
    record = obj["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert record == '{"apiVersion":"v1","data":{"a":"2"},"kind":"ConfigMap","metadata":{"name":"c"}}\n'
    with pytest.raises(ApplyConflict):
        _apply(live, _config_map(a="2"), "other")


def test_an_object_without_managers_gets_one_before_its_first_apply() -> None:
    """What was there before belongs to `before-first-apply`."""
    with pytest.raises(ApplyConflict, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
        _apply(_config_map(a="1"), _config_map(a="2"))


def test_unknown_fields_cannot_be_applied() -> None:
    """The error names object, kind and path."""
    config = {**_config_map(a="1"), "nosuch": 1}
    config["metadata"]["namespace"] = "d8"
    with pytest.raises(ApplyError) as raised:
        _apply(None, config)
    assert raised.value.message == (
        "failed to create typed patch object (d8/c; /v1, Kind=ConfigMap): .nosuch: field "
        "not declared in schema"
    )


def test_updates_move_ownership() -> None:
    """A changed field belongs to the last writer; a removed one to nobody."""
    live = _update(None, _config_map(a="1", b="2"), "one", now=_NOW)
    obj = _update(live, {**live, "data": {"a": "9"}}, "two")
    assert _owned(obj) == {"one": {"f:data": {}}, "two": {"f:data": {"f:a": {}}}}
    assert [entry["time"] for entry in obj["metadata"]["managedFields"]] == [_NOW, _LATER]


def test_structs_of_new_items_are_members() -> None:
    """An added container owns its structs and maps; the structs that every object has are nobody's."""
    config = _deployment()
    container = config["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"requests": {"cpu": "1"}}
    fields = _owned(_update(None, config, "one"))["one"]["f:spec"]
    assert "." not in fields
    assert "." not in fields["f:template"]["f:spec"]["f:containers"]
    main = fields["f:template"]["f:spec"]["f:containers"]['k:{"name":"main"}']
    assert main["f:resources"] == {".": {}, "f:requests": {".": {}, "f:cpu": {}}}


def test_a_write_without_a_change_keeps_the_entries() -> None:
    """Times do not move when nothing else does."""
    live = _update(None, _config_map(a="1"), "one", now=_NOW)
    assert _update(live, copy.deepcopy(live), "one") == live
    applied = _apply(None, _config_map(a="1"))
    assert _apply(applied, _config_map(a="1")) == applied


def test_an_empty_list_resets_the_bookkeeping() -> None:
    """`managedFields: []` forgets every manager."""
    live = _update(None, _config_map(a="1"), "one")
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = []
    assert _owned(_update(live, new, "two")) == {}


def test_list_map_keys_use_defaults() -> None:
    """Two ports that differ in protocol only are two items, even if one leaves it out."""
    spec: Json = {"ports": [{"port": 53, "name": "a"}, {"port": 53, "protocol": "UDP", "name": "b"}]}
    service: Json = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
    ports = _owned(_apply(None, service))["kubectl"]["f:spec"]["f:ports"]
    assert sorted(ports) == ['k:{"port":53,"protocol":"TCP"}', 'k:{"port":53,"protocol":"UDP"}']


@pytest.mark.laws
@given(_SETS, _SETS)
def test_field_sets_obey_the_laws_of_sets(left: Json, right: Json) -> None:
    """Union, intersection and difference agree with those of the sets of paths."""
    mine, theirs = set(fieldsets.paths({"f:r": left})), set(fieldsets.paths({"f:r": right}))
    a, b = {"f:r": left}, {"f:r": right}
    assert set(fieldsets.paths(fieldsets.union(a, b))) == mine | theirs
    assert set(fieldsets.paths(fieldsets.intersection(a, b))) == mine & theirs
    assert set(fieldsets.paths(fieldsets.difference(a, b))) == mine - theirs
    assert fieldsets.loaded(fieldsets.dumped(a)) == a


_DATA = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["1", "2"]), min_size=1, max_size=4)


@pytest.mark.laws
@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), _DATA), min_size=1, max_size=6))
def test_every_key_has_an_owner_and_the_last_configuration_counts(
    steps: list[tuple[str, dict[str, str]]],
) -> None:
    """After forced applies the object is what its owners hold, and the last applier has what it asked for."""
    live: Json | None = None
    for manager, data in steps:
        live = _apply(live, _config_map(**data), manager, force=True)
        assert live["data"].items() >= data.items()
        owned = set()
        for fields in _owned(live).values():
            owned |= {key.removeprefix("f:") for key in fields.get("f:data", {}) if key != "."}
        assert owned == set(live.get("data") or {})
        again = _apply(live, _config_map(**data), manager)
        assert again == live


# -- what a creator owns -----------------------------------------------------

_NAMES = st.sampled_from(["a", "b", "protocol"])
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["x", "y"]))
_FREE = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_NAMES, inner, max_size=2)),
    max_leaves=6,
)


def _values(node: Node | None, depth: int) -> st.SearchStrategy[Any]:
    """Values that fit a schema."""
    if node is None or depth > 7:
        return _FREE
    match node.type:
        case "object" if node.fields:
            fields = {name: _values(below, depth + 1) for name, below in node.fields.items()}
            return st.sets(st.sampled_from(sorted(fields)), max_size=3).flatmap(
                lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
            )
        case "object":
            return st.dictionaries(_NAMES, _values(node.values, depth + 1), max_size=2)
        case "array":
            return st.lists(_values(node.items, depth + 1), max_size=2)
    return _SCALARS


@pytest.mark.parametrize(
    ("group", "kind"), [("", "Pod"), ("", "Service"), ("apps", "Deployment"), ("", "ConfigMap")]
)
@settings(max_examples=40)
@given(st.data())
def test_a_creator_owns_what_a_comparison_with_nothing_finds(
    group: str, kind: str, data: st.DataObject
) -> None:
    """The short walk of a create finds what the comparison of an update would."""
    node = _node(group, kind)
    parts = ["spec", "data", "status"]
    body = {name: data.draw(_values(node.fields[name], 1)) for name in parts if name in node.fields}
    labels = data.draw(st.dictionaries(_NAMES, st.sampled_from(["x", "y"]), max_size=2))
    obj = {"metadata": {"labels": labels}, **body}
    found = compared(node, {"metadata": {}}, obj)
    assert newfields.of_object(node, obj) == fieldsets.dumped(fieldsets.union(found.added, found.modified))
