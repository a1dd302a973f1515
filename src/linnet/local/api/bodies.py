"""Bodies of writes: read as the resource's type, with what they may not say refused."""

from collections.abc import Callable
from typing import Any

import orjson
from msgspec import Struct

from linnet.local.api import refusals, validation
from linnet.local.api.causes import shown
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.schemas import Node

Json = dict[str, Any]


class Reading(Struct, frozen=True):
    """How strictly unknown fields are taken: Strict, Warn, Ignore."""

    validation: str
    warn: Callable[[str], None]


def decoded(resource: Resource, obj: Any, node: Node | None, reading: Reading) -> Json:
    """The object as the resource's type reads it. Raises: WrongType, Refused."""
    obj = typed(resource, obj)
    read = validation.pruned(node, obj)
    if read.unknown:
        if reading.validation == "Strict":
            listed = ", ".join(read.unknown)
            raise refusals.bad_request(f"{_handled(resource)}: strict decoding error: {listed}")
        if reading.validation == "Warn":
            for message in read.unknown:
                reading.warn(message)
    return read.obj


def typed(resource: Resource, obj: Any) -> Json:
    """The body as an object of the resource's kind."""
    if not isinstance(obj, dict):
        raise refusals.bad_request("the request's body is not an object")
    version, kind = obj.get("apiVersion"), obj.get("kind")
    if (version or resource.api_version, kind or resource.kind) != (resource.api_version, resource.kind):
        group, _, short = (version or "").rpartition("/")
        internal = resource.group.partition(".")[0] or "core"
        given = f"{group}/{short}.{kind}" if group else f"{short}.{kind}"
        raise refusals.bad_request(
            f'{kind} in version "{short}" cannot be handled as a {resource.kind}: '
            f"converting ({given}) to ({internal}.{resource.kind}): unknown conversion"
        )
    metadata = obj.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise refusals.bad_request(f"{_handled(resource)}: metadata must be an object")
    return {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata or {}}


def placed(resource: Resource, namespace: str, obj: Json) -> Json:
    """The metadata of a new object, with its namespace."""
    metadata: Json = obj.get("metadata") or {}
    obj["metadata"] = metadata
    given = metadata.get("namespace", "")
    if not resource.namespaced:
        if given:
            raise refusals.bad_request("namespace should not be set on cluster-scoped objects")
        metadata.pop("namespace", None)
        return metadata
    if given and given != namespace:
        raise refusals.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = namespace
    return metadata


def check_config(resource: Resource, namespace: str, name: str, config: Json) -> None:
    """The configuration of an apply names what the path names."""
    if not isinstance(config, dict):
        raise refusals.bad_request("the apply configuration must be an object")
    if (config.get("apiVersion"), config.get("kind")) != (resource.api_version, resource.kind):
        given = f"{config.get('apiVersion')}, Kind={config.get('kind')}"
        raise refusals.bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {given}, "
            f"expected: {resource.api_version}, Kind={resource.kind}"
        )
    metadata = config.setdefault("metadata", {})
    if metadata.get("managedFields"):
        raise refusals.bad_request("metadata.managedFields must be nil")
    if metadata.setdefault("name", name) != name:
        raise refusals.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        )
    placed(resource, namespace, config)


def mistyped(resource: Resource, obj: Json, error: validation.WrongType, patched: bool) -> Refused:
    """A value of a wrong type: in a body 400, as the result of a patch 422."""
    if not patched:
        return refusals.bad_request(f"{_handled(resource)}: {error.message}")
    cause = {
        "reason": "FieldValueInvalid",
        "message": f"Invalid value: {shown(orjson.dumps(obj).decode())}: {error.message}",
        "field": "patch",
    }
    message = f' "" is invalid: patch: {cause["message"]}'
    return Refused(422, "Invalid", message, {"causes": [cause]})


def _handled(resource: Resource) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
