"""Which form of an answer the client accepts, and what form a body is in."""

from collections.abc import Mapping
from io import StringIO
from typing import Any, Literal, get_args

import orjson
from msgspec import Struct

from linnet.local.api import protobuf
from linnet.local.api.gojson import complaint
from linnet.local.api.refusals import Refused, bad_request
from linnet.local.api.schemas import Schemas

Json = dict[str, Any]
Form = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]

PROTOBUF = "application/vnd.kubernetes.protobuf"
_SHOWN = 64  # bytes of a body that cannot be read, shown in the refusal
_OURS = ("application/json", "*/*", "application/*", "application/yaml")
_FORMS: Mapping[str, Form] = {form: form for form in get_args(Form) if form}


class Accepted(Struct, frozen=True):
    """`form` as the client wants objects, `version` of meta.k8s.io for it, `yaml` instead of JSON."""

    form: Form = ""
    version: str = "v1"
    yaml: bool = False


def accepted(header: str) -> Accepted:
    """The first form in an Accept header that the server has.

    Raises: Refused 406.
    """
    for part in (header or "*/*").split(","):
        media, *rest = (piece.strip() for piece in part.split(";"))
        if media == PROTOBUF and len(header.split(",")) == 1:
            # Kubernetes would answer protobuf; every client of it also reads JSON.
            return Accepted()
        if media not in _OURS:
            continue
        parameters = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        form = parameters.get("as", "")
        if form in _FORMS:
            return Accepted(_FORMS[form], parameters.get("v", "v1"), media == "application/yaml")
        if not form:
            return Accepted(yaml=media == "application/yaml")
    raise Refused(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml, " + PROTOBUF,
    )


def yaml_text(value: Any) -> bytes:
    """A value as YAML."""
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    out = StringIO()
    writer.dump(value, out)
    return out.getvalue().encode()


def body(raw: bytes, content_type: str, schemas: Schemas, kind: str = "") -> Any:
    """The value in a request's body; `kind` is what it should be.

    Raises: Refused 400 if it cannot be read, 415 if its form is unknown.
    """
    if content_type in ("", "application/octet-stream") or content_type.endswith("json"):
        return _json(raw, kind)
    if content_type.endswith("yaml"):
        return _yaml(raw)
    if content_type == PROTOBUF:
        return _protobuf(raw, schemas)
    raise unsupported()


def unsupported() -> Refused:
    return Refused(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, " + PROTOBUF,
    )


def _json(raw: bytes, kind: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        start = raw[:_SHOWN].hex()
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): "
            f"couldn't get version/kind; json parse error: {complaint(raw) or error} ({start})"
        ) from error


def _yaml(raw: bytes) -> Any:
    """Read YAML; a body that is JSON (as kubectl's are) does not wait for the YAML reader."""
    if raw[:1] in (b"{", b"["):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass  # flow-style YAML
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 1)
    reader.allow_duplicate_keys = True
    try:
        return reader.load(raw)
    except YAMLError as error:
        raise bad_request(f"error converting YAML to JSON: {error}") from error


def _protobuf(raw: bytes, schemas: Schemas) -> Any:
    try:
        return protobuf.decoded(raw, schemas)
    except protobuf.Malformed as error:
        raise bad_request(str(error)) from error
    except protobuf.UnknownMessage as error:
        raise unsupported() from error
