"""CustomResourceDefinitions made from the types: API servers take them, no field of Istio is unknown."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import validator_for

from linnet.ingest.mesh import advance, empty
from linnet.objects.crd import DEFINITIONS, definitions

HERE = Path(__file__).parent
FIELDS: dict[str, list[str]] = json.loads(gzip.decompress((HERE / "istio-fields.json.gz").read_bytes()))
LOOSE = {one.kind for one in DEFINITIONS if one.spec is None}
SAMPLES: dict[str, dict[str, Any]] = json.loads(
    gzip.decompress((HERE / "istio-samples.json.gz").read_bytes())
)


def spec_schema(kind: str) -> dict[str, Any]:
    """The schema of the stored version's spec."""
    found = next(one for one in definitions() if one["spec"]["names"]["kind"] == kind)
    stored = next(version for version in found["spec"]["versions"] if version["storage"])
    schema: dict[str, Any] = stored["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def paths(schema: dict[str, Any], path: str = "") -> set[str]:
    """The paths of all fields of a schema."""
    found: set[str] = set()
    for name, held in schema.get("properties", {}).items():
        found |= {f"{path}.{name}", *paths(held, f"{path}.{name}")}
    if "items" in schema:
        found |= paths(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        found |= paths(schema["additionalProperties"], f"{path}{{}}")
    return found


@pytest.mark.unit
@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_every_field_of_istio_is_known(kind: str) -> None:
    """A field that Istio has is neither missing nor invented; kinds without effect keep everything."""
    if kind in LOOSE:
        assert spec_schema(kind)["x-kubernetes-preserve-unknown-fields"] is True
    else:
        assert paths(spec_schema(kind)) == set(FIELDS[kind])


@pytest.mark.unit
def test_all_kinds_are_there() -> None:
    """One definition for each kind, each with exactly one stored version."""
    assert {one["spec"]["names"]["kind"] for one in definitions()} == set(FIELDS)
    for one in definitions():
        assert [version["storage"] for version in one["spec"]["versions"]].count(True) == 1
        assert one["metadata"]["name"] == f"{one['spec']['names']['plural']}.{one['spec']['group']}"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("kind", "spec", "good"),
    [
        ("VirtualService", {"http": [{"match": [{"uri": {"exact": "/a"}}]}]}, True),
        ("VirtualService", {"http": [{"match": [{"uri": {"exact": "/a", "prefix": "/b"}}]}]}, False),
        ("VirtualService", {"http": [{"route": [{"weight": 1}]}]}, False),
        ("VirtualService", {"http": [{"redirect": {"port": 1, "derivePort": "FROM_REQUEST_PORT"}}]}, False),
        ("DestinationRule", {}, False),
        ("DestinationRule", {"host": "a", "trafficPolicy": {"tls": {"mode": "SOMETIMES"}}}, False),
        (
            "Gateway",
            {"servers": [{"hosts": ["*"], "port": {"number": -1, "name": "a", "protocol": "HTTP"}}]},
            False,
        ),
        ("PeerAuthentication", {"portLevelMtls": {"80": {"mode": "STRICT"}}}, True),
        ("ServiceEntry", {"hosts": []}, False),
    ],
)
def test_schemas_tell_good_from_bad(kind: str, spec: dict[str, Any], good: bool) -> None:
    """Required fields, enumerations, bounds and choices are part of the schema."""
    assert validator_for(spec_schema(kind)).is_valid(spec) is good


@pytest.mark.unit
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_istios_samples_are_valid(name: str) -> None:
    """Objects as Istio's documentation has them."""
    sample = SAMPLES[name]
    validator_for(spec_schema(sample["kind"])).validate(sample["spec"])


@pytest.mark.unit
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_istios_samples_have_no_problem(name: str) -> None:
    """All that the samples ask for is honoured."""
    sample = SAMPLES[name]
    change = (sample["kind"], sample["metadata"].get("namespace", "default"), sample["metadata"]["name"])
    mesh = advance(empty(), {change: sample})
    assert [problem for held in mesh.problems.values() for problem in held] == []
