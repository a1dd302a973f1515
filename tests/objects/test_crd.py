"""The CustomResourceDefinitions that installation applies."""

import json

import pytest

from linnet.kube.kinds import ISTIO
from linnet.objects.crd import definitions, schema_of
from linnet.objects.virtual_service import VirtualServiceSpec

pytestmark = pytest.mark.unit


def test_every_kind_is_defined() -> None:
    """All kinds that the client knows, in the version that it asks for."""
    defined = {
        (d["spec"]["group"], version["name"], d["spec"]["names"]["plural"], d["spec"]["names"]["kind"])
        for d in definitions()
        for version in d["spec"]["versions"]
    }
    assert {(kind.group, kind.version, kind.plural, kind.name) for kind in ISTIO} <= defined
    assert len(definitions()) == len(ISTIO)


def test_one_version_is_stored() -> None:
    """Exactly one, the first."""
    for definition in definitions():
        stored = [version["name"] for version in definition["spec"]["versions"] if version["storage"]]
        assert stored == [definition["spec"]["versions"][0]["name"]]


def test_schemas_are_structural() -> None:
    """Every node has a type or keeps unknown fields; nothing is a reference."""
    text = json.dumps(definitions())
    assert "$ref" not in text
    assert '"anyOf"' not in text


def test_a_schema_from_a_type() -> None:
    """Names as users write them, what is required, enumerations."""
    schema = schema_of(VirtualServiceSpec)
    http = schema["properties"]["http"]["items"]["properties"]
    assert http["route"]["items"]["required"] == ["destination"]
    assert http["corsPolicy"]["properties"]["unmatchedPreflights"]["enum"] == [
        "FORWARD",
        "IGNORE",
        "UNSPECIFIED",
    ]
    assert http["retries"]["properties"]["perTryTimeout"] == {"type": "string"}
