"""CustomResourceDefinitions."""

import copy
from typing import Any

import pytest

from linnet.local.api import crds
from linnet.local.api.defaults import defaulted

pytestmark = pytest.mark.unit

Json = dict[str, Any]

_NOW = "2026-01-01T00:00:00Z"


def _crd(plural: str = "widgets", kind: str = "Widget", **version: Any) -> Json:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.demo.example.com"},
        "spec": {
            "group": "demo.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [
                {"name": "v1beta1", "served": True, "storage": False, "deprecated": True, "schema": schema},
                {"name": "v1", "served": True, "storage": True, "schema": schema, **version},
            ],
        },
    }


def _stored(crd: Json, others: tuple[Json, ...] = ()) -> Json:
    full = defaulted("apiextensions.k8s.io", "v1", "CustomResourceDefinition", crd)
    return crds.prepared(full, None, now=_NOW, others=others)


def _texts(crd: Json, old: Json | None = None) -> list[str]:
    full = defaulted("apiextensions.k8s.io", "v1", "CustomResourceDefinition", crd)
    return [f"{cause.field}: {cause.message}" for cause in crds.causes(full, old)]


def test_a_new_crd_is_established_at_once() -> None:
    """Names are filled in and accepted; the stored version is noted."""
    status = _stored(_crd())["status"]
    assert status["acceptedNames"] == {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
    }
    assert [(entry["type"], entry["status"]) for entry in status["conditions"]] == [
        ("NamesAccepted", "True"),
        ("Established", "True"),
    ]
    assert status["storedVersions"] == ["v1"]


def test_names_that_another_crd_has_are_refused() -> None:
    """A clash is said in the conditions, and nothing is served."""
    stored = _stored(_crd("gizmos", "Widget"), (_stored(_crd()),))
    accepted, established = stored["status"]["conditions"]
    assert (accepted["status"], accepted["reason"]) == ("False", "ListKindConflict")
    assert accepted["message"] == '"WidgetList" is already in use'
    assert (established["reason"], established["message"]) == ("NotAccepted", "not all names are accepted")
    assert crds.served(stored) == ()


def test_what_a_crd_serves() -> None:
    """The preferred version comes first; columns, paths and warnings are read out."""
    crd = _crd(
        subresources={
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
        },
        additionalPrinterColumns=[{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
        selectableFields=[{"jsonPath": ".spec.size"}],
    )
    v1, beta = crds.served(_stored(crd))
    assert (v1.version, beta.version) == ("v1", "v1beta1")
    assert v1.status
    assert v1.scale is not None
    assert v1.scale.spec_replicas == ("spec", "size")
    assert [column.name for column in v1.columns] == ["Size"]
    assert [column.name for column in beta.columns] == ["Age"]
    assert v1.selectable == ("spec.size",)
    assert v1.deprecation == ""
    assert beta.deprecation == "demo.example.com/v1beta1 Widget is deprecated; use demo.example.com/v1 Widget"


def test_conditions_move_only_when_they_change() -> None:
    """A second write keeps the times."""
    stored = _stored(_crd())
    again = crds.prepared(stored, stored, now="2030-01-01T00:00:00Z")
    assert again["status"] == stored["status"]


def test_what_is_wrong_with_a_crd() -> None:
    """Name, root type, storage version and immutable parts."""
    assert _texts(_crd()) == []
    crd = _crd()
    crd["metadata"]["name"] = "wrong.demo.example.com"
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"]
    assert _texts(crd) == [
        'metadata.name: Invalid value: "wrong.demo.example.com": must be spec.names.plural+"."+spec.group',
        "spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root",
        "spec.versions[1].schema.openAPIV3Schema.type: Required value: must not be empty at the root",
    ]
    crd = _crd(storage=False)
    found = _texts(crd)
    assert found[0].endswith("must have exactly one version marked as storage version")
    assert found[1] == "status.storedVersions: Invalid value: null: must have at least one stored version"
    changed = copy.deepcopy(_crd())
    changed["spec"]["scope"] = "Cluster"
    assert _texts(changed, _stored(_crd())) == ['spec.scope: Invalid value: "Cluster": field is immutable']
