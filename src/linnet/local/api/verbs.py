"""What the verbs do: from a request that may be served to a status code and an answer."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from multidict import MultiMapping

from linnet.local.api import (
    bodies,
    causes,
    negotiation,
    patching,
    reading,
    refusals,
    reviews,
    streaming,
    table,
    validation,
)
from linnet.local.api.authn import Authenticator
from linnet.local.api.cluster import Cluster
from linnet.local.api.deleting import Deleter, Deletion
from linnet.local.api.negotiation import Accepted
from linnet.local.api.paths import Target, true
from linnet.local.api.rbac import Authorizer
from linnet.local.api.reading import Reader
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.schemas import Node
from linnet.local.api.selecting import selects
from linnet.local.api.strategic import go_text
from linnet.local.api.streaming import Ending
from linnet.local.api.subresources import Subresources, scale
from linnet.local.api.users import User
from linnet.local.api.writeoptions import Options
from linnet.local.api.writing import Edit, Writer

Json = dict[str, Any]

_APPLY = "application/apply-patch+yaml"
_STRATEGIC = "application/strategic-merge-patch+json"
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", _APPLY)
_DELETE = ("", "v1", "DeleteOptions")
_SCALE = ("autoscaling", "v1", "Scale")
_REJECTED = "the server rejected our request due to an error in our request"
_CREATE_BY_PUT = frozenset({"leases", "events", "endpoints", "nodes"})


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


@dataclass(slots=True)
class Verbs:
    """The verbs of every resource."""

    cluster: Cluster
    reader: Reader
    writer: Writer
    deleter: Deleter
    subresources: Subresources
    authenticator: Authenticator
    authorizer: Authorizer
    ending: Ending

    async def do(self, call: Call) -> tuple[int, Json]:
        """Status code and answer.

        Raises: Refused.
        """
        match call.target.verb:
            case "get":
                return 200, self._get(call)
            case "list":
                listed = await self.reader.list(call.resource, call.target.namespace, call.accept, call.query)
                return 200, listed
            case "create":
                return await self._create(call)
            case "update":
                return await self._update(call)
            case "patch":
                return await self._patch(call)
            case "delete":
                return await self._delete(call)
            case "deletecollection":
                return await self._delete_all(call)
        raise refusals.not_allowed()

    def watch(self, call: Call) -> AsyncGenerator[bytes, None]:
        """The lines of a watch.

        Raises: Refused for bad parameters, before the first line.
        """
        query: Mapping[str, str] = call.query
        if call.target.name:
            query = {**query, "fieldSelector": f"metadata.name={call.target.name}"}
        wanted = streaming.request(call.resource, _namespace(call), call.accept, query)
        return streaming.lines(self.cluster, wanted, self.ending)

    def _get(self, call: Call) -> Json:
        obj = self.reader.get(call.resource, _namespace(call), call.target.name)
        if call.target.subresource == "scale":
            return self._scale(call, scale(call.resource, obj))
        return reading.shown(call.resource, obj, call.accept, call.query)

    @staticmethod
    def _scale(call: Call, value: Json) -> Json:
        return table.of_scale(value, call.accept.version) if call.accept.form == "Table" else value

    async def _create(self, call: Call) -> tuple[int, Json]:
        resource, target = call.resource, call.target
        obj = self._body(call)
        if resource.kind in reviews.KINDS:
            obj = self._typed((resource.group, resource.version, resource.kind), obj)
            answer = reviews.answer(
                resource, target.namespace, obj, call.user, self.authenticator, self.authorizer
            )
            return 201, answer
        options = self._options(call, "CreateOptions")
        subresource = resource.sub(target.subresource)
        if subresource is not None:
            obj = self._typed((subresource.group, subresource.version or "v1", subresource.kind), obj)
        match target.subresource:
            case "":
                if resource.name == "bindings":
                    obj = self._typed(("", "v1", "Binding"), obj)
                    name = (obj.get("metadata") or {}).get("name", "")
                    return 201, await self.subresources.bind(target.namespace, name, obj, options)
                made = await self.writer.create(resource, _namespace(call), obj, options)
                return 201, reading.shown(resource, made, call.accept, call.query)
            case "token":
                return 201, self.subresources.token(target.namespace, target.name, obj)
            case "eviction":
                return 201, await self.subresources.evict(target.namespace, target.name, obj, options)
            case "binding":
                return 201, await self.subresources.bind(target.namespace, target.name, obj, options)
        raise refusals.not_allowed()

    async def _update(self, call: Call) -> tuple[int, Json]:
        resource, target = call.resource, call.target
        obj = self._body(call)
        options = self._options(call, "UpdateOptions")
        if target.subresource == "scale":
            wanted = self._typed(_SCALE, obj)
            changed = await self.subresources.rescale(
                resource, _namespace(call), target.name, lambda _scale: wanted, options
            )
            return 200, self._scale(call, changed)
        self._check_name(call, obj)
        missing = self.cluster.store.latest(resource.key(_namespace(call), target.name)) is None
        if missing and resource.plural in _CREATE_BY_PUT and not target.subresource:
            made = await self.writer.create(resource, _namespace(call), obj, options)
            return 201, reading.shown(resource, made, call.accept, call.query)
        changed = await self.writer.change(
            resource,
            _namespace(call),
            target.name,
            lambda _live: obj,
            options,
            subresource=target.subresource,
        )
        return 200, reading.shown(resource, changed, call.accept, call.query)

    async def _patch(self, call: Call) -> tuple[int, Json]:
        resource, target = call.resource, call.target
        if call.content_type == _APPLY:
            return await self._apply(call)
        edit = self._edit(call)
        options = self._options(call, "PatchOptions")
        if target.subresource == "scale":
            changed = await self.subresources.rescale(
                resource,
                _namespace(call),
                target.name,
                lambda live: self._typed(_SCALE, edit(live)),
                options,
            )
            return 200, self._scale(call, changed)
        changed = await self.writer.change(
            resource,
            _namespace(call),
            target.name,
            edit,
            options,
            subresource=target.subresource,
            patched=True,
        )
        return 200, reading.shown(resource, changed, call.accept, call.query)

    async def _apply(self, call: Call) -> tuple[int, Json]:
        options = self._options(call, "PatchOptions")
        if not call.query.get("fieldManager"):
            raise refusals.invalid_options(
                "PatchOptions",
                "fieldManager",
                "Required value: is required for apply patch",
                "FieldValueRequired",
            )
        config = negotiation.body(call.body, "application/yaml", self.cluster.schemas)
        applied, new = await self.writer.apply(
            call.resource,
            _namespace(call),
            call.target.name,
            config,
            options,
            subresource=call.target.subresource,
        )
        return 201 if new else 200, reading.shown(call.resource, applied, call.accept, call.query)

    async def _delete(self, call: Call) -> tuple[int, Json]:
        deletion, options = self._deletion(call)
        resource = call.resource
        done = await self.deleter.delete(resource, _namespace(call), call.target.name, deletion, options)
        if done.answers_object(resource):
            return 200, reading.shown(resource, done.obj, call.accept, call.query)
        metadata = done.obj["metadata"]
        details = refusals.details(resource, metadata["name"], uid=metadata["uid"])
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return 200, {**head, "details": details}

    async def _delete_all(self, call: Call) -> tuple[int, Json]:
        deletion, options = self._deletion(call)
        resource = call.resource
        chosen = selects(resource, call.query)
        removed = await self.deleter.delete_all(resource, _namespace(call), chosen, deletion, options)
        metadata = {"resourceVersion": str(self.cluster.store.revision)}
        head = {"kind": resource.list_kind, "apiVersion": resource.api_version}
        return 200, {**head, "metadata": metadata, "items": removed}

    # What requests carry

    def _body(self, call: Call) -> Json:
        obj = negotiation.body(call.body, call.content_type, self.cluster.schemas, call.resource.kind)
        if not isinstance(obj, dict):
            raise refusals.bad_request("the request's body is not an object")
        return obj

    def _typed(self, kind: tuple[str, str, str], obj: Json) -> Json:
        """A body that is not an object of the resource: options, reviews, a Scale.

        Raises: Refused 400 for values of wrong types.
        """
        try:
            return validation.pruned(self.cluster.schemas.of(*kind), obj).obj
        except validation.WrongType as error:
            _, version, name = kind
            why = f'{name} in version "{version}" cannot be handled as a {name}: {error.message}'
            raise refusals.bad_request(why) from error

    @staticmethod
    def _check_name(call: Call, obj: Json) -> None:
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

    def _edit(self, call: Call) -> Edit:
        """The patch of the body as a function.

        Raises: Refused 415 for a patch type that the resource does not know.
        """
        known = _PATCHES if call.resource.custom else (*_PATCHES[:2], _STRATEGIC, _APPLY)
        if call.content_type not in known:
            types = ", ".join(known)
            raise Refused(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: " + types,
            )
        patch = negotiation.body(call.body, "application/json", self.cluster.schemas)
        schema = self.cluster.node(call.resource)
        if call.target.subresource == "scale":
            schema = self.cluster.schemas.of(*_SCALE)
        if call.content_type == "application/json-patch+json" and not isinstance(patch, list):
            why = "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
            raise refusals.bad_request(f"error decoding patch: {why}")

        def edit(live: Json) -> Json:
            try:
                match call.content_type:
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

        return edit

    @staticmethod
    def _options(call: Call, kind: str) -> Options:
        """The options in the query. Raises: Refused 422."""
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

    def _deletion(self, call: Call) -> tuple[Deletion, Options]:
        """DeleteOptions of body and query. Raises: Refused."""
        body = self._typed(_DELETE, self._body(call)) if call.body else {}
        query = call.query
        grace = body.get("gracePeriodSeconds")
        text = query.get("gracePeriodSeconds", "")
        if grace is None and text:
            if not text.lstrip("-").isdigit():
                raise refusals.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
            grace = int(text)
        policy = body.get("propagationPolicy") or query.get("propagationPolicy") or ""
        orphan = body.get("orphanDependents")
        if not policy and orphan is not None:
            policy = "Orphan" if orphan else "Background"
        if policy not in ("", "Orphan", "Background", "Foreground"):
            why = 'supported values: "Background", "Foreground", "Orphan"'
            shown = f'Unsupported value: "{policy}": {why}'
            raise refusals.invalid_options(
                "DeleteOptions", "propagationPolicy", shown, "FieldValueNotSupported"
            )
        preconditions = body.get("preconditions") or {}
        dry = bool(body.get("dryRun")) or "dryRun" in query
        return (
            Deletion(
                grace, policy, preconditions.get("uid") or "", preconditions.get("resourceVersion") or ""
            ),
            Options(call.user, "", call.warn, dry, "Ignore"),
        )


def _namespace(call: Call) -> str:
    return call.target.namespace if call.resource.namespaced else ""


def _check_types(schema: Node, patch: Json, patched: Json) -> None:
    """A strategic patch that puts a value of a wrong type into an object. Raises: Refused 422."""
    try:
        validation.pruned(schema, patched)
    except validation.WrongType as error:
        why = f"unrecognized type: {error.message.rpartition(' of type ')[2]}"
        message = causes.invalid("patch", go_text(patch), why).message
        cause = {"reason": "FieldValueInvalid", "message": message, "field": "patch"}
        raise Refused(422, "Invalid", f' "" is invalid: patch: {message}', {"causes": [cause]}) from error
