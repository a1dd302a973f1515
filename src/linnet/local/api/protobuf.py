"""Decode `application/vnd.kubernetes.protobuf` request bodies into JSON shapes.

kubectl from 1.32 on and every client built on controller-runtime send them; answers are always JSON.
"""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from linnet.local.api.definitions import packed
from linnet.local.api.wireformat import Truncated, fields, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from linnet.local.api.schemas import Schemas

Json = dict[str, Any]
Field = tuple[str, str, str]  # name; one, rep or map; type

MAGIC = b"k8s\0"

_META = "k8s.io.apimachinery.pkg."
_OPTIONS = frozenset(["DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions"])
_PACKAGES = {"": "core", "rbac.authorization.k8s.io": "rbac"}
_NO_TIME = -62135596800  # seconds of Go's zero time
# Pointers in Go: their zero values are values. All other zeros are left out.
_KEEP_ZERO = frozenset(
    [
        "replicas",
        "minReplicas",
        "terminationGracePeriodSeconds",
        "automountServiceAccountToken",
        "readOnlyRootFilesystem",
        "allowPrivilegeEscalation",
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "fsGroup",
        "privileged",
        "immutable",
        "optional",
        "controller",
        "blockOwnerDeletion",
        "suspend",
        "ttlSecondsAfterFinished",
        "backoffLimit",
        "completions",
        "parallelism",
        "activeDeadlineSeconds",
        "progressDeadlineSeconds",
        "revisionHistoryLimit",
        "expirationSeconds",
        "gracePeriodSeconds",
        "timeoutSeconds",
        "tolerationSeconds",
        "weight",
        "priority",
        "value",
        "ready",
        "serving",
        "terminating",
        "port",
        "leaseTransitions",
        "leaseDurationSeconds",
        "enableServiceLinks",
        "publishNotReadyAddresses",
        "allocateLoadBalancerNodePorts",
        "shareProcessNamespace",
        "hostUsers",
        "defaultMode",
        "mode",
        "partition",
        "orphanDependents",
        "sideEffects",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
    ]
)
# Structs that Go always writes, if only empty.
_DROP_EMPTY = frozenset(
    ["status", "strategy", "updateStrategy", "resources", "loadBalancer", "state", "lastState", "metadata"]
)


class Malformed(ValueError):
    """A body that is not what the content type says: a 400."""


class UnknownMessage(ValueError):
    """A kind outside the field table: a 415."""


@cache
def _table() -> Mapping[str, Mapping[int, Field]]:
    """The fields of every message by number."""
    return {
        message: {int(number): tuple(field) for number, field in listed.items()}
        for message, listed in packed("protobuf.json.gz").items()
    }


def decoded(body: bytes, schemas: Schemas) -> Json:
    """The object in a protobuf envelope, in the shape of its JSON twin. Raises: Malformed, UnknownMessage."""
    if not body.startswith(MAGIC):
        raise Malformed(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = dict(fields(body[len(MAGIC) :]))
        named = dict(fields(_bytes(envelope.get(1))))
        api_version, kind = _bytes(named.get(1)).decode(), _bytes(named.get(2)).decode()
        message = _message_name(api_version, kind)
        if message not in _table():
            raise UnknownMessage(f'no kind "{kind}" is registered for version "{api_version}"')
        obj = _Decoder(schemas).message(message, _bytes(envelope.get(2)))
    except (Truncated, UnicodeDecodeError, orjson.JSONDecodeError) as error:
        raise Malformed(str(error)) from error
    return {"apiVersion": api_version, "kind": kind, **obj}


def _message_name(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    if kind in _OPTIONS:
        return f"{_META}apis.meta.v1.{kind}"
    return f"k8s.io.api.{_PACKAGES.get(group, group.split('.')[0])}.{version}.{kind}"


def _bytes(raw: int | bytes | None) -> bytes:
    if raw is None:
        return b""
    if isinstance(raw, int):
        raise Truncated("expected a length-delimited field")
    return raw


def _int(raw: int | bytes | None) -> int:
    if isinstance(raw, bytes):
        raise Truncated("expected a varint")
    return signed(raw or 0)


def _time(data: bytes) -> str | None:
    moment = _moment(data)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _micro_time(data: bytes) -> str | None:
    moment = _moment(data)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _moment(data: bytes) -> datetime | None:
    parts = dict(fields(data))
    seconds, nanoseconds = _int(parts.get(1)), _int(parts.get(2))
    if not parts or seconds == _NO_TIME or (seconds == 0 and nanoseconds == 0):
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)


def _int_or_string(data: bytes) -> int | str:
    parts = dict(fields(data))
    return _bytes(parts.get(3)).decode() if parts.get(1) else _int(parts.get(2))


def _quantity(data: bytes) -> str:
    return _bytes(dict(fields(data)).get(1)).decode()


def _raw(data: bytes) -> Any:
    text = _bytes(dict(fields(data)).get(1))
    return orjson.loads(text) if text else None


def _duration(data: bytes) -> str:
    return f"{_int(dict(fields(data)).get(1)) / 1e9:g}s"


_SPECIAL: Mapping[str, Callable[[bytes], Any]] = {
    f"{_META}apis.meta.v1.Time": _time,
    f"{_META}apis.meta.v1.MicroTime": _micro_time,
    f"{_META}util.intstr.IntOrString": _int_or_string,
    f"{_META}api.resource.Quantity": _quantity,
    f"{_META}apis.meta.v1.FieldsV1": _raw,
    f"{_META}runtime.RawExtension": _raw,
    f"{_META}apis.meta.v1.Duration": _duration,
}


class _Decoder:
    """Decodes messages by the table; the OpenAPI definitions tell the JSON names."""

    def __init__(self, schemas: Schemas) -> None:
        self._definitions = schemas.definitions

    def message(self, name: str, data: bytes) -> Json:
        """One message as a JSON object."""
        out: Json = {}
        table = _table()[name]
        definition = self._definitions.get("io.k8s." + name.removeprefix("k8s.io."))
        properties = (definition or {}).get("properties")
        for number, raw in fields(data):
            field = table.get(number)
            if field is None:
                continue
            proto, form, kind = field
            key = _json_name(proto, properties)
            if form == "map":
                entry = dict(fields(_bytes(raw)))
                out.setdefault(key, {})[_bytes(entry.get(1)).decode()] = self._value(kind, entry.get(2))
            elif form == "rep":
                out.setdefault(key, []).append(self._value(kind, raw))
            else:
                self._put(
                    out, key, self._value(kind, raw), inline=properties is not None and key not in properties
                )
        return out

    def _put(self, out: Json, key: str, value: Any, *, inline: bool) -> None:
        """Set a single field as Go's JSON would: inlined structs merged, zero values left out."""
        if inline and isinstance(value, dict):
            out.update(value)
        elif (
            value is None
            or value == ""
            or (value == {} and key in _DROP_EMPTY)
            or (isinstance(value, int | float) and not value and key not in _KEEP_ZERO)
        ):
            return
        else:
            out[key] = value

    def _value(self, kind: str, raw: int | bytes | None) -> Any:
        if special := _SPECIAL.get(kind):
            return special(_bytes(raw))
        if kind in _table():
            only = _table()[kind]
            if len(only) == 1 and only.get(1) == ("items", "rep", "string"):  # a named slice
                return [_bytes(item).decode() for _, item in fields(_bytes(raw))]
            return self.message(kind, _bytes(raw))
        return _scalar(kind, raw)


def _json_name(proto: str, properties: Json | None) -> str:
    """The JSON name of a field; `Webhooks`, `uID` and `aPIGroup` differ from it in case only."""
    if properties is None or proto in properties:
        return proto
    return next((name for name in properties if name.lower() == proto.lower()), proto)


def _scalar(kind: str, raw: int | bytes | None) -> Any:
    match kind:
        case "string":
            return _bytes(raw).decode()
        case "bytes":
            return base64.b64encode(_bytes(raw)).decode()
        case "bool":
            return bool(raw)
        case "int" | "uint":
            return _int(raw)
        case "double" | "float" if isinstance(raw, bytes):
            return struct.unpack("<d" if len(raw) == 8 else "<f", raw)[0]
    raise Truncated(f"unexpected type {kind}")
