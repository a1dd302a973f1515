"""What the verbs do: from a request that may be served to a status code and an answer."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from linnet.local.api import (
    calls,
    negotiation,
    reading,
    refusals,
    reviews,
    streaming,
    table,
)
from linnet.local.api.authn import Authenticator
from linnet.local.api.calls import APPLY, SCALE, Call
from linnet.local.api.cluster import Cluster
from linnet.local.api.deleting import Deleter
from linnet.local.api.rbac import Authorizer
from linnet.local.api.reading import Reader
from linnet.local.api.selecting import selects
from linnet.local.api.streaming import Ending
from linnet.local.api.subresources import Subresources, scale
from linnet.local.api.writing import Writer

Json = dict[str, Any]

_CREATE_BY_PUT = frozenset({"leases", "events", "endpoints", "nodes"})


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
        wanted = streaming.request(call.resource, call.namespace, call.accept, query)
        return streaming.lines(self.cluster, wanted, self.ending)

    def _get(self, call: Call) -> Json:
        obj = self.reader.get(call.resource, call.namespace, call.target.name)
        if call.target.subresource == "scale":
            return self._scale(call, scale(call.resource, obj))
        return reading.shown(call.resource, obj, call.accept, call.query)

    @staticmethod
    def _scale(call: Call, value: Json) -> Json:
        return table.of_scale(value, call.accept.version) if call.accept.form == "Table" else value

    async def _create(self, call: Call) -> tuple[int, Json]:
        resource, target = call.resource, call.target
        obj = calls.body(call, self.cluster.schemas)
        if resource.kind in reviews.KINDS:
            obj = calls.typed((resource.group, resource.version, resource.kind), obj, self.cluster.schemas)
            answer = reviews.answer(
                resource, target.namespace, obj, call.user, self.authenticator, self.authorizer
            )
            return 201, answer
        options = calls.options(call, "CreateOptions")
        subresource = resource.sub(target.subresource)
        if subresource is not None:
            obj = calls.typed(
                (subresource.group, subresource.version or "v1", subresource.kind), obj, self.cluster.schemas
            )
        match target.subresource:
            case "":
                if resource.name == "bindings":
                    obj = calls.typed(("", "v1", "Binding"), obj, self.cluster.schemas)
                    name = (obj.get("metadata") or {}).get("name", "")
                    return 201, await self.subresources.bind(target.namespace, name, obj, options)
                made = await self.writer.create(resource, call.namespace, obj, options)
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
        obj = calls.body(call, self.cluster.schemas)
        options = calls.options(call, "UpdateOptions")
        if target.subresource == "scale":
            wanted = calls.typed(SCALE, obj, self.cluster.schemas)
            changed = await self.subresources.rescale(
                resource, call.namespace, target.name, lambda _scale: wanted, options
            )
            return 200, self._scale(call, changed)
        calls.check_name(call, obj)
        missing = self.cluster.store.latest(resource.key(call.namespace, target.name)) is None
        if missing and resource.plural in _CREATE_BY_PUT and not target.subresource:
            made = await self.writer.create(resource, call.namespace, obj, options)
            return 201, reading.shown(resource, made, call.accept, call.query)
        changed = await self.writer.change(
            resource,
            call.namespace,
            target.name,
            lambda _live: obj,
            options,
            subresource=target.subresource,
        )
        return 200, reading.shown(resource, changed, call.accept, call.query)

    async def _patch(self, call: Call) -> tuple[int, Json]:
        resource, target = call.resource, call.target
        if call.content_type == APPLY:
            return await self._apply(call)
        edit = calls.edit(call, self.cluster.schemas)
        options = calls.options(call, "PatchOptions")
        if target.subresource == "scale":
            changed = await self.subresources.rescale(
                resource,
                call.namespace,
                target.name,
                lambda live: calls.typed(SCALE, edit(live), self.cluster.schemas),
                options,
            )
            return 200, self._scale(call, changed)
        changed = await self.writer.change(
            resource,
            call.namespace,
            target.name,
            edit,
            options,
            subresource=target.subresource,
            patched=True,
        )
        return 200, reading.shown(resource, changed, call.accept, call.query)

    async def _apply(self, call: Call) -> tuple[int, Json]:
        options = calls.options(call, "PatchOptions")
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
            call.namespace,
            call.target.name,
            config,
            options,
            subresource=call.target.subresource,
        )
        return 201 if new else 200, reading.shown(call.resource, applied, call.accept, call.query)

    async def _delete(self, call: Call) -> tuple[int, Json]:
        deletion, options = calls.deletion(call, self.cluster.schemas)
        resource = call.resource
        done = await self.deleter.delete(resource, call.namespace, call.target.name, deletion, options)
        if done.answers_object(resource):
            return 200, reading.shown(resource, done.obj, call.accept, call.query)
        metadata = done.obj["metadata"]
        details = refusals.details(resource, metadata["name"], uid=metadata["uid"])
        head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return 200, {**head, "details": details}

    async def _delete_all(self, call: Call) -> tuple[int, Json]:
        deletion, options = calls.deletion(call, self.cluster.schemas)
        resource = call.resource
        chosen = selects(resource, call.query)
        removed = await self.deleter.delete_all(resource, call.namespace, chosen, deletion, options)
        metadata = {"resourceVersion": str(self.cluster.store.revision)}
        head = {"kind": resource.list_kind, "apiVersion": resource.api_version}
        return 200, {**head, "metadata": metadata, "items": removed}
