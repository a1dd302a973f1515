"""CustomResourceDefinitions, made from the types: the API server checks what the program reads (pure).

Kinds without types keep every field as it is written; the program reports that they are not honoured.
Source: Istio's CustomResourceDefinitions: names, versions, short names, columns.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, inspect

from linnet.objects.destination_rule import DestinationRuleSpec
from linnet.objects.gateway import GatewaySpec
from linnet.objects.security import (
    AuthorizationPolicySpec,
    PeerAuthenticationSpec,
    RequestAuthenticationSpec,
)
from linnet.objects.service_entry import ServiceEntrySpec, WorkloadEntrySpec
from linnet.objects.virtual_service import VirtualServiceSpec

Object = dict[str, Any]
Columns = tuple[tuple[str, str, str], ...]  # name, type, JSON path

_AGE = ("Age", "date", ".metadata.creationTimestamp")
_NETWORKING, _SECURITY = "networking.istio.io", "security.istio.io"
_TELEMETRY, _EXTENSIONS = "telemetry.istio.io", "extensions.istio.io"


class Definition(Struct, frozen=True):
    """One kind. The first version is stored; `spec` is None for kinds that keep every field."""

    group: str
    kind: str
    plural: str
    versions: tuple[str, ...]
    spec: type[Struct] | None = None
    short: str = ""
    columns: Columns = ()
    needs_spec: bool = False


_V1 = ("v1", "v1beta1", "v1alpha3")
DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        _NETWORKING,
        "DestinationRule",
        "destinationrules",
        _V1,
        DestinationRuleSpec,
        "dr",
        (("Host", "string", ".spec.host"), _AGE),
    ),
    Definition(_NETWORKING, "EnvoyFilter", "envoyfilters", ("v1alpha3",)),
    Definition(_NETWORKING, "Gateway", "gateways", _V1, GatewaySpec, "gw"),
    Definition(_NETWORKING, "ProxyConfig", "proxyconfigs", ("v1beta1",)),
    Definition(
        _NETWORKING,
        "ServiceEntry",
        "serviceentries",
        _V1,
        ServiceEntrySpec,
        "se",
        (
            ("Hosts", "string", ".spec.hosts"),
            ("Location", "string", ".spec.location"),
            ("Resolution", "string", ".spec.resolution"),
            _AGE,
        ),
        needs_spec=True,
    ),
    Definition(_NETWORKING, "Sidecar", "sidecars", _V1),
    Definition(
        _NETWORKING,
        "VirtualService",
        "virtualservices",
        _V1,
        VirtualServiceSpec,
        "vs",
        (("Gateways", "string", ".spec.gateways"), ("Hosts", "string", ".spec.hosts"), _AGE),
    ),
    Definition(
        _NETWORKING,
        "WorkloadEntry",
        "workloadentries",
        _V1,
        WorkloadEntrySpec,
        "we",
        (_AGE, ("Address", "string", ".spec.address")),
        needs_spec=True,
    ),
    Definition(_NETWORKING, "WorkloadGroup", "workloadgroups", _V1, None, "wg", (_AGE,), needs_spec=True),
    Definition(
        _SECURITY,
        "AuthorizationPolicy",
        "authorizationpolicies",
        ("v1", "v1beta1"),
        AuthorizationPolicySpec,
        "ap",
        (("Action", "string", ".spec.action"), _AGE),
    ),
    Definition(
        _SECURITY,
        "PeerAuthentication",
        "peerauthentications",
        ("v1", "v1beta1"),
        PeerAuthenticationSpec,
        "pa",
        (("Mode", "string", ".spec.mtls.mode"), _AGE),
    ),
    Definition(
        _SECURITY,
        "RequestAuthentication",
        "requestauthentications",
        ("v1", "v1beta1"),
        RequestAuthenticationSpec,
        "ra",
    ),
    Definition(_TELEMETRY, "Telemetry", "telemetries", ("v1alpha1", "v1"), None, "telemetry", (_AGE,)),
    Definition(
        _EXTENSIONS,
        "TrafficExtension",
        "trafficextensions",
        ("v1alpha1",),
        None,
        "",
        (_AGE,),
        needs_spec=True,
    ),
    Definition(_EXTENSIONS, "WasmPlugin", "wasmplugins", ("v1alpha1",), None, "", (_AGE,), needs_spec=True),
)

_FREE: Mapping[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definitions() -> list[Object]:
    """All CustomResourceDefinitions, ready to apply."""
    return [definition(entry) for entry in DEFINITIONS]


def definition(entry: Definition) -> Object:
    """One CustomResourceDefinition."""
    singular = entry.kind.lower()
    names: Object = {
        "categories": ["istio-io", entry.group.replace(".istio.io", "-istio-io")],
        "kind": entry.kind,
        "listKind": f"{entry.kind}List",
        "plural": entry.plural,
        "singular": singular,
    }
    if entry.short:
        names["shortNames"] = [entry.short]
    schema = _object_schema(entry)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{entry.plural}.{entry.group}"},
        "spec": {
            "group": entry.group,
            "names": names,
            "scope": "Namespaced",
            "versions": [
                _version(version, entry.columns, schema, stored=version == entry.versions[0])
                for version in entry.versions
            ],
        },
    }


def _version(name: str, columns: Columns, schema: Object, *, stored: bool) -> Object:
    version: Object = {"name": name, "served": True, "storage": stored, "subresources": {"status": {}}}
    if columns:
        version["additionalPrinterColumns"] = [
            {"name": title, "type": kind, "jsonPath": path} for title, kind, path in columns
        ]
    version["schema"] = {"openAPIV3Schema": schema}
    return version


def _object_schema(entry: Definition) -> Object:
    spec = dict(_FREE) if entry.spec is None else schema_of(entry.spec)
    schema: Object = {"type": "object", "properties": {"spec": spec, "status": dict(_FREE)}}
    if entry.needs_spec:
        schema["required"] = ["spec"]
    return schema


def schema_of(kind: type[Struct]) -> Object:
    """The structural schema of a type, as CustomResourceDefinitions take it."""
    return _schema(inspect.type_info(kind))


def _schema(kind: inspect.Type) -> Object:
    match kind:
        case inspect.Metadata(type=inner):
            return _schema(inner)
        case inspect.UnionType(types=options):
            (inner,) = [option for option in options if not isinstance(option, inspect.NoneType)]
            return _schema(inner)
        case inspect.StructType(fields=fields):
            return _struct(fields)
        case inspect.VarTupleType(item_type=item):
            return {"type": "array", "items": _schema(item)}
        case inspect.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _schema(value)}
        case inspect.LiteralType(values=values):
            return {"type": "string", "enum": list(values)}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType(ge=least, le=most):
            return {"type": "integer"} | _given(minimum=least, maximum=most)
        case inspect.FloatType():
            return {"type": "number"}
        case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            return {"type": "string"} | _given(minLength=least, maxLength=most, pattern=pattern)
        case inspect.AnyType():
            return {"x-kubernetes-preserve-unknown-fields": True}
    raise TypeError(f"no schema for {kind}")


def _struct(fields: tuple[inspect.Field, ...]) -> Object:
    schema: Object = {
        "type": "object",
        "properties": {field.encode_name: _schema(field.type) for field in fields},
    }
    if needed := [field.encode_name for field in fields if field.required]:
        schema["required"] = needed
    return schema


def _given(**limits: Any) -> Object:
    return {name: limit for name, limit in limits.items() if limit is not None}
