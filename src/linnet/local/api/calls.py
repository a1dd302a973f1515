"""What requests carry: bodies, patches, and the options of bodies and queries.

Every function raises Refused for what it does not understand.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct
from multidict import MultiMapping

from linnet.local.api import bodies, causes, negotiation, patching, refusals, validation
from linnet.local.api.deleting import Deletion
from linnet.local.api.negotiation import Accepted
from linnet.local.api.paths import Target, true
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.schemas import Node, Schemas
from linnet.local.api.strategic import go_text
from linnet.local.api.users import User
from linnet.local.api.writeoptions import Options
from linnet.local.api.writing import Edit

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
SCALE = ("autoscaling", "v1", "Scale")
_STRATEGIC = "application/strategic-merge-patch+json"
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", APPLY)
_DELETE = ("", "v1", "DeleteOptions")
_REJECTED = "the server rejected our request due to an error in our request"


class Call(Struct, frozen=True):
    """A request for a resource that exists, by a user who may make it."""

    resource: Resource
    target: Target
    user: User
    query: MultiMapping[str]
    accept: Accepted
    agent: str  # the client's program, the default field manager
    content_type: str
    body: bytes
    warn: Callable[[str], None]

    @property
    def namespace(self) -> str:
        """That of the object; empty for a resource without namespaces."""
        return self.target.namespace if self.resource.namespaced else ""


def body(call: Call, schemas: Schemas) -> Json:
    """The object in the body."""
    obj = negotiation.body(call.body, call.content_type, schemas, call.resource.kind)
    if not isinstance(obj, dict):
        raise refusals.bad_request("the request's body is not an object")
    return obj


def typed(kind: tuple[str, str, str], obj: Json, schemas: Schemas) -> Json:
    """A body that is not an object of the resource: options, reviews, a Scale."""
    try:
        return validation.pruned(schemas.of(*kind), obj).obj
    except validation.WrongType as error:
        _, version, name = kind
        why = f'{name} in version "{version}" cannot be handled as a {name}: {error.message}'
        raise refusals.bad_request(why) from error


def check_name(call: Call, obj: Json) -> None:
    """The body must be about the object of the path."""
    metadata = bodies.typed(call.resource, obj)["metadata"]
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    if name != call.target.name:
        raise refusals.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({call.target.name})"
        )
    if call.resource.namespaced and namespace and namespace != call.target.namespace:
        raise refusals.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def edit(call: Call, schemas: Schemas) -> Edit:
    """The patch of the body as a function."""
    known = _PATCHES if call.resource.custom else (*_PATCHES[:2], _STRATEGIC, APPLY)
    if call.content_type not in known:
        types = ", ".join(known)
        raise Refused(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: " + types,
        )
    patch = negotiation.body(call.body, "application/json", schemas)
    kind = (call.resource.group, call.resource.version, call.resource.kind)
    schema = schemas.of(*(SCALE if call.target.subresource == "scale" else kind))
    if call.content_type == "application/json-patch+json" and not isinstance(patch, list):
        why = "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        raise refusals.bad_request(f"error decoding patch: {why}")
    return partial(_patched, call.content_type, patch, schema)


def _patched(content_type: str, patch: Any, schema: Node | None, live: Json) -> Json:
    try:
        match content_type:
            case "application/json-patch+json":
                patched = patching.json_patch(live, patch)
            case "application/merge-patch+json":
                patched = patching.merge_patch(live, patch)
            case _:
                assert schema is not None, "built-in kinds have schemas"
                patched = patching.strategic_patch(live, patch, schema)
                _check_types(schema, patch, patched)
    except patching.PatchError as error:
        raise Refused(422, "Invalid", _REJECTED, {}) from error
    if not isinstance(patched, dict):
        raise Refused(422, "Invalid", _REJECTED, {})
    return patched


def _check_types(schema: Node, patch: Json, patched: Json) -> None:
    """A strategic patch that puts a value of a wrong type into an object."""
    try:
        validation.pruned(schema, patched)
    except validation.WrongType as error:
        why = f"unrecognized type: {error.message.rpartition(' of type ')[2]}"
        message = causes.invalid("patch", go_text(patch), why).message
        cause = {"reason": "FieldValueInvalid", "message": message, "field": "patch"}
        raise Refused(422, "Invalid", f' "" is invalid: patch: {message}', {"causes": [cause]}) from error


def options(call: Call, kind: str) -> Options:
    """The options in the query."""
    query = call.query
    for value in query.getall("dryRun", ()):
        if value != "All":
            shown = f'Invalid value: ["{value}"]: Unsupported value: "{value}": supported values: "All"'
            raise refusals.invalid_options(kind, "dryRun", shown)
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        why = 'supported values: "Ignore", "Strict", "Warn"'
        shown = f'Unsupported value: "{validation}": {why}'
        raise refusals.invalid_options(kind, "fieldValidation", shown, "FieldValueNotSupported")
    return Options(
        user=call.user,
        manager=query.get("fieldManager") or call.agent,
        warn=call.warn,
        dry_run="dryRun" in query,
        validation=validation,
        force=true(query.get("force", "")),
    )


def deletion(call: Call, schemas: Schemas) -> tuple[Deletion, Options]:
    """DeleteOptions of body and query."""
    given = typed(_DELETE, body(call, schemas), schemas) if call.body else {}
    query = call.query
    grace = given.get("gracePeriodSeconds")
    text = query.get("gracePeriodSeconds", "")
    if grace is None and text:
        if not text.lstrip("-").isdigit():
            raise refusals.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        grace = int(text)
    policy = given.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphan = given.get("orphanDependents")
    if not policy and orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if policy not in ("", "Orphan", "Background", "Foreground"):
        why = 'supported values: "Background", "Foreground", "Orphan"'
        shown = f'Unsupported value: "{policy}": {why}'
        raise refusals.invalid_options("DeleteOptions", "propagationPolicy", shown, "FieldValueNotSupported")
    preconditions = given.get("preconditions") or {}
    dry = bool(given.get("dryRun")) or "dryRun" in query
    return (
        Deletion(grace, policy, preconditions.get("uid") or "", preconditions.get("resourceVersion") or ""),
        Options(call.user, "", call.warn, dry, "Ignore"),
    )
