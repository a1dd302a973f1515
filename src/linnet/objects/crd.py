"""CustomResourceDefinitions of Istio's kinds, made from their types.

Kinds that are honoured have full schemas; the others keep whatever they are given.
Source: Istio's CustomResourceDefinitions: names, versions, printer columns, constraints.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, inspect

from linnet.objects import destination_rule, gateway, security, service_entry, sidecar, virtual_service

Object = dict[str, Any]
_KEEP = {"x-kubernetes-preserve-unknown-fields": True}
_AGE = ("Age", ".metadata.creationTimestamp", "date")


class Definition(Struct, frozen=True):
    """One kind. The first version is stored. Columns are (name, JSON path, type)."""

    kind: str
    plural: str
    group: str
    versions: tuple[str, ...]
    short: str = ""
    columns: tuple[tuple[str, str, str], ...] = (_AGE,)
    spec: type | None = None
    spec_required: bool = False

    @property
    def name(self) -> str:
        """``<plural>.<group>``."""
        return f"{self.plural}.{self.group}"


_NETWORKING, _SECURITY = "networking.istio.io", "security.istio.io"
_EXTENSIONS, _TELEMETRY = "extensions.istio.io", "telemetry.istio.io"
_ALL = ("v1", "v1alpha3", "v1beta1")
DEFINITIONS = (
    Definition("TrafficExtension", "trafficextensions", _EXTENSIONS, ("v1alpha1",), spec_required=True),
    Definition("WasmPlugin", "wasmplugins", _EXTENSIONS, ("v1alpha1",), spec_required=True),
    Definition(
        "DestinationRule", "destinationrules", _NETWORKING, _ALL, "dr",
        (("Host", ".spec.host", "string"), _AGE), destination_rule.DestinationRuleSpec,
    ),
    Definition("EnvoyFilter", "envoyfilters", _NETWORKING, ("v1alpha3",), columns=()),
    Definition("Gateway", "gateways", _NETWORKING, _ALL, "gw", (), gateway.GatewaySpec),
    Definition("ProxyConfig", "proxyconfigs", _NETWORKING, ("v1beta1",), columns=()),
    Definition(
        "ServiceEntry", "serviceentries", _NETWORKING, _ALL, "se",
        (
            ("Hosts", ".spec.hosts", "string"),
            ("Location", ".spec.location", "string"),
            ("Resolution", ".spec.resolution", "string"),
            _AGE,
        ),
        service_entry.ServiceEntrySpec, spec_required=True,
    ),
    Definition("Sidecar", "sidecars", _NETWORKING, _ALL, columns=(), spec=sidecar.SidecarSpec),
    Definition(
        "VirtualService", "virtualservices", _NETWORKING, _ALL, "vs",
        (("Gateways", ".spec.gateways", "string"), ("Hosts", ".spec.hosts", "string"), _AGE),
        virtual_service.VirtualServiceSpec,
    ),
    Definition(
        "WorkloadEntry", "workloadentries", _NETWORKING, _ALL, "we",
        (_AGE, ("Address", ".spec.address", "string")),
        service_entry.WorkloadEntrySpec, spec_required=True,
    ),
    Definition("WorkloadGroup", "workloadgroups", _NETWORKING, _ALL, "wg", spec_required=True),
    Definition(
        "AuthorizationPolicy", "authorizationpolicies", _SECURITY, ("v1", "v1beta1"), "ap",
        (("Action", ".spec.action", "string"), _AGE), security.AuthorizationPolicySpec,
    ),
    Definition(
        "PeerAuthentication", "peerauthentications", _SECURITY, ("v1", "v1beta1"), "pa",
        (("Mode", ".spec.mtls.mode", "string"), _AGE), security.PeerAuthenticationSpec,
    ),
    Definition(
        "RequestAuthentication", "requestauthentications", _SECURITY, ("v1", "v1beta1"), "ra", (),
        security.RequestAuthenticationSpec,
    ),
    Definition("Telemetry", "telemetries", _TELEMETRY, ("v1alpha1", "v1"), "telemetry"),
)  # fmt: skip

_FAMILY = {_SECURITY: {"istio": "security"}, _TELEMETRY: {"istio": "telemetry"}}

# Of these fields at most one may be there.
_AT_MOST_ONE: Mapping[type, tuple[tuple[str, ...], ...]] = {
    virtual_service.StringMatch: (("exact", "prefix", "regex"),),
    virtual_service.Body: (("string", "bytes"),),
    virtual_service.Abort: (("httpStatus", "grpcStatus", "http2Error"),),
    virtual_service.Redirect: (("port", "derivePort"),),
    virtual_service.Delay: (("fixedDelay", "exponentialDelay"),),
    destination_rule.LoadBalancer: (("simple", "consistentHash", "backendUtilization"),),
    destination_rule.ConsistentHash: (
        ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"),
        ("ringHash", "maglev"),
    ),
}


def definitions() -> list[Object]:
    """The manifests of all kinds, sorted by name; each a new object."""
    return [manifest(one) for one in sorted(DEFINITIONS, key=lambda one: one.name)]


def manifest(one: Definition) -> Object:
    """The CustomResourceDefinition of one kind."""
    names: Object = {
        "categories": ["istio-io", one.group.replace(".", "-").removesuffix("-io") + "-io"],
        "kind": one.kind,
        "listKind": f"{one.kind}List",
        "plural": one.plural,
        "singular": one.kind.lower(),
    }
    if one.short:
        names["shortNames"] = [one.short]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": one.name,
            "annotations": {"helm.sh/resource-policy": "keep"},
            "labels": {
                "app": "istio-pilot",
                "chart": "istio",
                "heritage": "Tiller",
                "release": "istio",
                **_FAMILY.get(one.group, {}),
            },
        },
        "spec": {
            "group": one.group,
            "names": names,
            "scope": "Namespaced",
            "versions": [_version(one, name) for name in one.versions],
        },
    }


def _version(one: Definition, name: str) -> Object:
    schema: Object = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", **_KEEP} if one.spec is None else schema_of(one.spec),
            "status": _status(),
        },
    }
    if one.spec_required:
        schema["required"] = ["spec"]
    version: Object = {
        "name": name,
        "served": True,
        "storage": name == one.versions[0],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    if one.columns:
        version["additionalPrinterColumns"] = [
            {"name": column, "jsonPath": path, "type": kind} for column, path, kind in one.columns
        ]
    return version


def _status() -> Object:
    text: Object = {"type": "string"}
    time: Object = {"type": "string", "format": "date-time"}
    either: Object = {"anyOf": [{"type": "integer"}, text], "x-kubernetes-int-or-string": True}
    condition: Object = {
        "lastProbeTime": time,
        "lastTransitionTime": time,
        "message": text,
        "observedGeneration": either,
        "reason": text,
        "status": text,
        "type": text,
    }
    finding: Object = {
        "documentationUrl": text,
        "level": {"type": "string", "enum": ["UNKNOWN", "ERROR", "WARNING", "INFO"]},
        "type": {"type": "object", "properties": {"code": text, "name": text}},
    }
    return {
        "type": "object",
        **_KEEP,
        "properties": {
            "conditions": {"type": "array", "items": {"type": "object", "properties": condition}},
            "observedGeneration": either,
            "validationMessages": {"type": "array", "items": {"type": "object", "properties": finding}},
        },
    }


def schema_of(kind: type) -> Object:
    """The structural OpenAPI v3 schema of a type."""
    return _schema(inspect.type_info(kind))


def _schema(held: inspect.Type) -> Object:
    match held:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return {**_schema(inner), **(extra or {})}
        case inspect.StructType():
            return _struct(held)
        case inspect.UnionType(types=types):
            return _union(types)
        case inspect.VarTupleType(item_type=item):
            array: Object = {"type": "array", "items": _schema(item)}
            return _with(array, minItems=held.min_length, maxItems=held.max_length)
        case inspect.DictType(value_type=value):
            mapping: Object = {"type": "object", "additionalProperties": _schema(value)}
            return _with(mapping, minProperties=held.min_length, maxProperties=held.max_length)
        case inspect.LiteralType(values=values):
            return {"type": "string", "enum": list(values)}
        case inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            return _with({"type": "string"}, minLength=least, maxLength=most, pattern=pattern)
        case inspect.IntType(ge=least, le=most):
            return _with({"type": "integer"}, minimum=least, maximum=most)
        case inspect.FloatType():
            return {"type": "number", "format": "double"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.AnyType():
            return dict(_KEEP)
        case _:
            raise TypeError(f"no schema for {held}")


def _with(schema: Object, **constraints: Any) -> Object:
    return schema | {key: value for key, value in constraints.items() if value is not None}


def _union(types: Iterable[inspect.Type]) -> Object:
    """Something or nothing: what may be left out may also be null, which the API server drops."""
    given = [one for one in types if not isinstance(one, inspect.NoneType)]
    if len(given) != 1:
        raise TypeError(f"no structural schema for a choice of {given}")
    return _schema(given[0])


def _struct(held: inspect.StructType) -> Object:
    schema: Object = {
        "type": "object",
        "properties": {field.encode_name: _schema(field.type) for field in held.fields},
    }
    required = [field.encode_name for field in held.fields if field.required]
    if required:
        schema["required"] = required
    groups = list(_at_most_one(_AT_MOST_ONE.get(held.cls, ())))
    if len(groups) == 1:
        schema |= groups[0]
    elif groups:
        schema["allOf"] = groups
    return schema


def _at_most_one(groups: Iterable[tuple[str, ...]]) -> Iterator[Object]:
    for names in groups:
        each: list[Object] = [{"required": [name]} for name in names]
        yield {"oneOf": [{"not": {"anyOf": each}}, *each]}
