"""Unknown fields, wrong types, structural schemas, defaults and CEL, with Kubernetes' texts."""

from typing import Any

import pytest

from linnet.local.api import validation
from linnet.local.api.definitions import definitions
from linnet.local.api.schemas import Node, Schemas
from linnet.local.api.validation import WrongType

pytestmark = pytest.mark.unit

Json = dict[str, Any]

_SPEC: Json = {
    "type": "object",
    "required": ["size"],
    "x-kubernetes-validations": [
        {"rule": "self.size < 10 || self.mode == 'B'", "message": "size 10 needs mode B"}
    ],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10},
        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
        "hosts": {
            "type": "array",
            "maxItems": 3,
            "items": {"type": "string", "maxLength": 20, "pattern": "^[a-z.*]+$"},
        },
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["number"],
            "items": {"type": "object", "properties": {"number": {"type": "integer"}}},
        },
        "fixed": {
            "type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is immutable"}],
        },
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "either": {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        "share": {"x-kubernetes-int-or-string": True},
        "when": {"type": "string", "format": "date-time"},
        "maybe": {"type": "string", "nullable": True},
    },
}
_NOT_CHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    """The built-in definitions, and a CRD."""
    found = Schemas(definitions())
    found.register("demo.example.com", "v1", "Widget", {"type": "object", "properties": {"spec": _SPEC}})
    return found


@pytest.fixture(scope="module")
def widget(schemas: Schemas) -> Node:
    """The schema of the CRD."""
    found = schemas.of("demo.example.com", "v1", "Widget")
    assert found is not None
    return found


def _widget(**spec: Any) -> Json:
    full = {"size": 3, "mode": "A", "hosts": ["a", "b"], "fixed": "x", "ports": [{"number": 80}], **spec}
    return {
        "apiVersion": "demo.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w1"},
        "spec": {name: value for name, value in full.items() if value is not None},
    }


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({}, []),
        ({"size": 10}, ["spec: Invalid value: size 10 needs mode B"]),
        ({"size": 10, "mode": "B"}, []),
        (
            {"size": 30},
            [
                "spec.size: Invalid value: 30: spec.size in body should be less than or equal to 10",
                "spec: Invalid value: size 10 needs mode B",
            ],
        ),
        ({"mode": "C"}, ['spec.mode: Unsupported value: "C": supported values: "A", "B"', _NOT_CHECKED]),
        (
            {"hosts": ["UPPER", "a" * 25]},
            [
                "spec.hosts[0]: Invalid value: \"UPPER\": spec.hosts[0] in body should match '^[a-z.*]+$'",
                "spec.hosts[1]: Too long: may not be more than 20 bytes",
                _NOT_CHECKED,
            ],
        ),
        ({"hosts": list("abcd")}, ["spec.hosts: Too many: 4: must have at most 3 items", _NOT_CHECKED]),
        ({"fixed": "y"}, ['spec.fixed: Invalid value: "y": fixed is immutable']),
        ({"ports": [{"number": 80}, {"number": 80}]}, ['spec.ports[1]: Duplicate value: {"number":80}']),
        ({"size": None}, ["spec.size: Required value", _NOT_CHECKED]),
        ({"share": 1}, []),
        ({"share": "50%"}, []),
        (
            {"share": True},
            [
                (
                    'spec.share: Invalid value: "boolean": spec.share in body must be of '
                    'type integer,string: "boolean"'
                ),
                _NOT_CHECKED,
            ],
        ),
        ({"either": {"a": "1"}}, []),
        (
            {"either": {"a": "1", "b": "2"}},
            [
                (
                    'spec.either: Invalid value: "": "spec.either" must validate one and '
                    "only one schema (oneOf). "
                    "Found 2 valid alternatives"
                )
            ],
        ),
        ({"when": "2026-01-01T00:00:00Z"}, []),
        (
            {"when": "noon"},
            ['spec.when: Invalid value: "noon": spec.when in body must be of type date-time: "noon"'],
        ),
    ],
)
def test_what_a_custom_object_violates(widget: Node, changes: Json, texts: list[str]) -> None:
    """Every kind of violation has upstream's field and text, in upstream's order."""
    found = validation.causes(widget, _widget(**changes), _widget())
    assert [f"{cause.field}: {cause.message}" for cause in found] == texts


def test_a_replica_count_of_a_wrong_type(widget: Node) -> None:
    """The scale subresource adds its own complaint."""
    found = validation.causes(widget, _widget(size="x"), _widget(), scale=(("spec", "size"),))
    assert [f"{cause.field}: {cause.message}" for cause in found] == [
        'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
        ".spec.size: Invalid value: 0: .spec.size accessor error: x is of the type string, expected int64",
        _NOT_CHECKED,
    ]


def test_an_update_does_not_check_what_it_does_not_touch(widget: Node) -> None:
    """Values that were stored under an older schema do not stand in the way."""
    old = _widget(hosts=["NOT", "ALLOWED"])
    assert validation.causes(widget, _widget(hosts=["NOT", "ALLOWED"], size=4), old) == []
    assert validation.causes(widget, _widget(hosts=["NOT"]), old) != []


def test_pruning_keeps_what_may_be_kept(widget: Node) -> None:
    """Unknown fields go and are named, except where they are preserved."""
    obj = _widget(nosuch=1, any={"k": {"z": 1}}, ports=[{"number": 1, "x": 2}])
    pruned = validation.pruned(widget, {**obj, "top": 1, "metadata": {"name": "w", "bad": 1}})
    assert set(pruned.unknown) == {
        'unknown field "spec.nosuch"',
        'unknown field "spec.ports[0].x"',
        'unknown field "top"',
        'unknown field "metadata.bad"',
    }
    assert pruned.obj["spec"]["any"] == {"k": {"z": 1}}
    assert pruned.obj["spec"]["ports"] == [{"number": 1}]
    assert pruned.obj["metadata"] == {"name": "w"}


def test_defaults_and_nulls(widget: Node) -> None:
    """Defaults fill gaps and replace nulls, unless a field may be null."""
    obj = _widget()
    obj["spec"] |= {"mode": None, "maybe": None, "hosts": None}
    spec = validation.defaulted(widget, obj)["spec"]
    assert spec["mode"] == "A"
    assert spec["maybe"] is None
    assert "hosts" not in spec
    assert obj["spec"]["mode"] is None


def _deployment(container: Json, **spec: Any) -> Json:
    template = {"spec": {"containers": [{"name": "main", **container}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {},
        "spec": {"template": template, **spec},
    }


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (
            _deployment({"env": [{"name": "A", "value": 1}]}),
            (
                "json: cannot unmarshal number into Go struct field "
                "EnvVar.spec.template.spec.containers.env.value of type string"
            ),
        ),
        (
            _deployment({}, replicas="two"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            _deployment({"resources": {"requests": {"cpu": "ten"}}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            _deployment({}, selector={"matchLabels": {"app": True}}),
            (
                "json: cannot unmarshal bool into Go struct field "
                "LabelSelector.spec.selector.matchLabels of type string"
            ),
        ),
    ],
)
def test_wrong_types_of_built_in_kinds_read_like_go(schemas: Schemas, obj: Json, text: str) -> None:
    """A wrong type is a decoding error, not a violation."""
    with pytest.raises(WrongType) as raised:
        validation.pruned(schemas.of("apps", "v1", "Deployment"), obj)
    assert raised.value.message == text


def test_built_in_objects_are_read_as_go_reads_them(schemas: Schemas) -> None:
    """Unknown fields go, quantities become canonical, empty maps and nulls vanish, empty structs stay."""
    obj = _deployment(
        {"resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}}, "nosuch": 1, "securityContext": {}},
        replica=2,
        replicas=0,
    )
    obj["metadata"] = {"name": "x", "labels": {}, "annotations": None}
    pruned = validation.pruned(schemas.of("apps", "v1", "Deployment"), obj)
    assert pruned.unknown == (
        'unknown field "spec.template.spec.containers[0].nosuch"',
        'unknown field "spec.replica"',
    )
    assert pruned.obj == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {
            "replicas": 0,
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "main",
                            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                            "securityContext": {},
                        }
                    ]
                }
            },
        },
    }


def test_recursive_definitions(schemas: Schemas) -> None:
    """The schema of a CRD contains itself."""
    inner = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}
    crd: Json = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x"},
        "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {**inner, "bad": 1}}}]},
    }
    node = schemas.of("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    pruned = validation.pruned(node, crd)
    assert pruned.unknown == ('unknown field "spec.versions[0].schema.openAPIV3Schema.bad"',)
    assert pruned.obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == inner


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        ("self.startsWith('a')", "abc", True),
        ("self.find('[0-9]+') == '12'", "x12y", True),
        ("isURL(self) && url(self).getHostname() == 'h'", "https://h:1/p", True),
        ("quantity(self).isGreaterThan(quantity('1Gi'))", "2Gi", True),
        ("ip(self).family() == 4", "10.0.0.1", True),
        ("cidr('10.0.0.0/8').containsIP(self)", "11.0.0.1", False),
        ("'%s-%d'.format([self, 3]) == 'a-3'", "a", True),
    ],
)
def test_the_function_library(rule: str, value: str, holds: bool) -> None:
    """Kubernetes' functions are there."""
    schema = {
        "type": "object",
        "properties": {"v": {"type": "string", "x-kubernetes-validations": [{"rule": rule}]}},
    }
    node = Schemas({}).register("g", "v1", "K", schema)
    found = [cause.message for cause in validation.causes(node, {"v": value})]
    assert found == ([] if holds else [f'Invalid value: "{value}": failed rule: {rule}'])
