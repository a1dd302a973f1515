"""Protobuf request bodies."""

from typing import Any

import pytest

from linnet.local.api import protobuf
from linnet.local.api.definitions import definitions
from linnet.local.api.protobuf import Malformed, UnknownMessage
from linnet.local.api.schemas import Schemas

pytestmark = pytest.mark.unit

Json = dict[str, Any]


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    type_meta = _field(1, api_version) + _field(2, kind)
    return protobuf.MAGIC + _field(1, type_meta) + _field(2, raw)


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    """The definitions tell the JSON names."""
    return Schemas(definitions())


def test_a_config_map(schemas: Schemas) -> None:
    """Strings, maps, and the zero time that Go clients send."""
    metadata = _field(1, "c") + _field(3, "d") + _field(8, b"") + _field(11, _field(1, "a") + _field(2, "b"))
    body = _envelope("v1", "ConfigMap", _field(1, metadata) + _field(2, _field(1, "k") + _field(2, "v")))
    assert protobuf.decoded(body, schemas) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "d", "labels": {"a": "b"}},
        "data": {"k": "v"},
    }


def test_a_deployment_with_no_replicas(schemas: Schemas) -> None:
    """Pointers keep their zero; empty structs and other zeros vanish; inlined structs are merged."""
    container = _field(1, "main") + _field(2, "app:1") + _field(8, b"")
    pod_template = _field(2, _field(2, container))
    spec = _field(1, 0) + _field(3, pod_template) + _field(4, b"") + _field(5, 0)
    body = _envelope("apps/v1", "Deployment", _field(1, _field(1, "d")) + _field(2, spec) + _field(3, b""))
    assert protobuf.decoded(body, schemas) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "main", "image": "app:1"}]}}},
    }


def test_structs_that_are_inlined_in_json(schemas: Schemas) -> None:
    """A volume's source and a probe's handler are messages of their own, but no objects of their own."""
    volume = _field(1, "v") + _field(2, _field(2, _field(1, "Memory")))
    probe = _field(1, _field(3, _field(1, _field(2, 80)))) + _field(4, 5)
    container = _field(1, "main") + _field(10, probe)
    pod = _field(1, _field(1, "p")) + _field(2, _field(1, volume) + _field(2, container))
    assert protobuf.decoded(_envelope("v1", "Pod", pod), schemas)["spec"] == {
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
        "containers": [{"name": "main", "livenessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 5}}],
    }


def test_numbers_or_strings_and_quantities(schemas: Schemas) -> None:
    """The types with a JSON form of their own."""
    port = _field(3, 80) + _field(4, _field(1, 1) + _field(3, "http"))
    body = _envelope("v1", "Service", _field(2, _field(1, port)))
    assert protobuf.decoded(body, schemas)["spec"] == {"ports": [{"port": 80, "targetPort": "http"}]}


def test_delete_options(schemas: Schemas) -> None:
    """Options are messages of the meta group, whatever version they carry."""
    body = _envelope("v1", "DeleteOptions", _field(1, 0) + _field(4, "Background"))
    assert protobuf.decoded(body, schemas) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Background",
    }


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", Malformed),
        (protobuf.MAGIC + b"\x0a\xff", Malformed),
        (_envelope("v1", "ConfigMap", b"\x0a\x05x"), Malformed),
        (_envelope("v1", "Nosuch", b""), UnknownMessage),
        (_envelope("demo.example.com/v1", "Widget", b""), UnknownMessage),
    ],
)
def test_what_cannot_be_decoded(schemas: Schemas, body: bytes, error: type[Exception]) -> None:
    """Damage and unknown kinds are told apart."""
    with pytest.raises(error):
        protobuf.decoded(body, schemas)
