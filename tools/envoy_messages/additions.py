"""Descriptors that no Envoy binary holds: Istio's CA, Envoy's client status, protobuf's own types."""

from collections.abc import Iterator

from google.protobuf import (
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from tools.envoy_messages.descriptors import Field, File

WELL_KNOWN = {
    "google.protobuf.Any": "any_pb2",
    "google.protobuf.Duration": "duration_pb2",
    "google.protobuf.Timestamp": "timestamp_pb2",
    "google.protobuf.Empty": "empty_pb2",
    "google.protobuf.Struct": "struct_pb2",
    "google.protobuf.Value": "struct_pb2",
    "google.protobuf.ListValue": "struct_pb2",
    "google.protobuf.NullValue": "struct_pb2",
    "google.protobuf.FieldMask": "field_mask_pb2",
    **{
        f"google.protobuf.{kind}Value": "wrappers_pb2"
        for kind in (
            "Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64",
        )
    },
}  # fmt: skip


def additions() -> Iterator[File]:
    """All of them."""
    yield from well_known_files()
    yield istio_auth()
    yield client_status()


def istio_auth() -> File:
    """A protocol that Envoy does not speak: how an agent asks for a workload certificate.

    Source: Istio, `security/v1alpha1/ca.proto`, field numbers as on the wire.
    """
    file = File(name="istio/v1/auth/ca.proto", package="istio.v1.auth", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    request = file.message_type.add(name="IstioCertificateRequest")
    one, many = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED
    request.field.add(name="csr", number=1, type=Field.TYPE_STRING, label=one)
    request.field.add(name="validity_duration", number=3, type=Field.TYPE_INT64, label=one)
    struct = ".google.protobuf.Struct"
    request.field.add(name="metadata", number=4, type=Field.TYPE_MESSAGE, type_name=struct, label=one)
    response = file.message_type.add(name="IstioCertificateResponse")
    response.field.add(name="cert_chain", number=1, type=Field.TYPE_STRING, label=many)
    method = file.service.add(name="IstioCertificateService").method.add(name="CreateCertificate")
    method.input_type = ".istio.v1.auth.IstioCertificateRequest"
    method.output_type = ".istio.v1.auth.IstioCertificateResponse"
    return file


def client_status() -> File:
    """How a control plane tells what its proxies hold: only the fields that it fills.

    Source: Envoy, `service/status/v3/csds.proto`, field numbers as on the wire; Envoy has no use for it.
    """
    package = "envoy.service.status.v3"
    file = File(name="envoy/service/status/v3/csds.proto", package=package, syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    file.dependency.append("envoy/config/core/v3/base.proto")
    file.dependency.append("envoy/admin/v3/config_dump_shared.proto")
    status = file.enum_type.add(name="ConfigStatus")
    for number, name in enumerate(("UNKNOWN", "SYNCED", "NOT_SENT", "STALE", "ERROR")):
        status.value.add(name=name, number=number)
    one, many = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED
    message, enum, text = Field.TYPE_MESSAGE, Field.TYPE_ENUM, Field.TYPE_STRING
    client = file.message_type.add(name="ClientConfig")
    config = client.nested_type.add(name="GenericXdsConfig")
    config.field.add(name="type_url", number=1, type=text, label=one)
    stamp, failure = ".google.protobuf.Timestamp", ".envoy.admin.v3.UpdateFailureState"
    config.field.add(name="last_updated", number=5, type=message, type_name=stamp, label=one)
    config.field.add(
        name="config_status", number=6, type=enum, type_name=f".{package}.ConfigStatus", label=one
    )
    config.field.add(name="error_state", number=8, type=message, type_name=failure, label=one)
    node = ".envoy.config.core.v3.Node"
    client.field.add(name="node", number=1, type=message, type_name=node, label=one)
    held = f".{package}.ClientConfig.GenericXdsConfig"
    client.field.add(name="generic_xds_configs", number=3, type=message, type_name=held, label=many)
    return file


def well_known_files() -> Iterator[File]:
    """The descriptors of protobuf's own types, from the protobuf package: a private pool needs them too."""
    modules = (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
    for module in modules:
        file = File()
        module.DESCRIPTOR.CopyToProto(file)
        yield file
