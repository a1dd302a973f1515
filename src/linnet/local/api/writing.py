"""How objects change: one pipeline for create, update, patch, apply and every subresource.

    body ─▶ pruned, defaulted ─▶ managed fields ─▶ webhooks ─▶ prepared ─▶ checked ─▶ webhooks ─▶ store

Source: Kubernetes, the order in the create and update handlers of apiserver.
"""

import asyncio
import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import orjson
from msgspec import Struct

from linnet.local.api import (
    checks,
    crds,
    defaults,
    managed,
    pods,
    preparing,
    refusals,
    validation,
    views,
)
from linnet.local.api.addresses import Addresses, Refusal
from linnet.local.api.admission import Admission, Denied, Review
from linnet.local.api.causes import Cause, invalid, required, shown
from linnet.local.api.cluster import CRDS, Cluster, timestamp
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.store import Record, Stale
from linnet.local.api.users import User

Json = dict[str, Any]
Edit = Callable[[Json], Json]

_ATTEMPTS = 8
_NAME = 253
_ACCOUNT_WAIT = 1.0  # seconds that a Pod waits for the service account of its new namespace
# What only the server writes.
_SYSTEM_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)
_KEPT_FIELDS = (
    *_SYSTEM_FIELDS,
    "name",
    "namespace",
    "generateName",
    "generation",
    "resourceVersion",
)
# Writes to their status may also change labels and annotations.
_STATUS_WITH_METADATA = frozenset({"pods", "nodes", "namespaces", "services"})


class Options(Struct, frozen=True):
    """Who writes, and how."""

    user: User
    manager: str
    warn: Callable[[str], None]
    dry_run: bool = False
    validation: str = "Warn"  # Strict, Warn, Ignore: what becomes of unknown fields
    force: bool = False  # apply takes over fields of other managers

    def admission(self, kind: str) -> Json:
        """The options object that webhooks see."""
        options: Json = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
        if self.manager:
            options["fieldManager"] = self.manager
        if self.dry_run:
            options["dryRun"] = ["All"]
        return options


class Writer:
    """Writes objects as Kubernetes would; every method answers with the object in the resource's version."""

    def __init__(self, cluster: Cluster, admission: Admission, addresses: Addresses) -> None:
        self._cluster = cluster
        self._admission = admission
        self._addresses = addresses

    async def create(
        self,
        resource: Resource,
        namespace: str,
        obj: Json,
        options: Options,
        *,
        managed_by_apply: bool = False,
    ) -> Json:
        """Store a new object.

        Raises: Refused.
        """
        try:
            obj = self._decoded(resource, obj, options)
        except validation.WrongType as error:
            raise _mistyped(resource, obj, error, False) from error
        metadata = self._placed(resource, namespace, obj)
        if metadata.get("resourceVersion"):
            raise refusals.bad_request("resourceVersion should not be set on objects to be created")
        for field in _SYSTEM_FIELDS:
            metadata.pop(field, None)
        if not metadata.get("name") and not metadata.get("generateName"):
            cause = required("metadata.name", "name or generateName is required")
            raise refusals.invalid(resource, "", [cause])
        self._check_namespace(resource, namespace, metadata)
        obj = self._defaulted(resource, obj)
        if resource.sub("status") and resource.name not in preparing.WRITES_STATUS:
            obj.pop("status", None)
        if not managed_by_apply:
            obj = self._managed(resource, None, obj, options, "")
        if resource.name == "pods":
            await self._admit_pod(namespace, obj)
        obj = await self._mutated(resource, namespace, obj, None, options, "", "CREATE")
        metadata = obj["metadata"]
        metadata["uid"] = str(uuid4())
        metadata["creationTimestamp"] = timestamp()
        if not metadata.get("name"):
            metadata["name"] = metadata["generateName"][: _NAME - 5] + pods.suffix()
        preparing.for_create(resource, obj, options.user, timestamp())
        return await self._insert(resource, namespace, obj, options)

    async def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        edit: Edit,
        options: Options,
        *,
        subresource: str = "",
        shown_subresource: str | None = None,
        patched: bool = False,
    ) -> Json:
        """Replace an object by what `edit` makes of it (it gets a copy of its own).

        `shown_subresource` is what managed fields and webhooks are told, where that differs.

        Raises: Refused.
        """
        told = subresource if shown_subresource is None else shown_subresource

        def updated(live: Json, again: bool) -> Json:
            new = edit(copy.deepcopy(live))
            try:
                new = self._decoded(resource, new, options, quiet=again)
            except validation.WrongType as error:
                raise _mistyped(resource, new, error, patched) from error
            self._check_version(resource, name, new, live)
            new = self._carried(resource, subresource, new, live)
            new = self._defaulted(resource, new)
            return self._managed(resource, live, new, options, told)

        return await self._change(resource, namespace, name, updated, options, subresource, told)

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        config: Json,
        options: Options,
        *,
        subresource: str = "",
    ) -> tuple[Json, bool]:
        """Server-side apply; the object, and whether it is new.

        Raises: Refused, also for conflicts with other managers.
        """
        self._check_config(resource, namespace, name, config)

        def merged(live: Json | None) -> Json:
            try:
                return managed.applied(
                    live,
                    config,
                    manager=options.manager,
                    schema=self._cluster.node(resource),
                    api_version=resource.api_version,
                    subresource=subresource,
                    force=options.force,
                    now=timestamp(),
                )
            except managed.ApplyConflict as error:
                raise Refused(409, "Conflict", error.message, {"causes": error.causes}) from error
            except managed.ApplyError as error:
                raise Refused(500, "", error.message) from error

        def updated(live: Json, again: bool) -> Json:
            self._check_version(resource, name, config, live)
            new = merged(live)
            try:
                new = self._decoded(resource, new, options, quiet=again)
            except validation.WrongType as error:
                raise _mistyped(resource, new, error, False) from error
            new = self._carried(resource, subresource, new, live)
            return self._defaulted(resource, new)

        if self._cluster.store.latest(resource.key(namespace, name)) is None:
            if subresource:
                raise refusals.not_found(resource, name)
            new = merged(None)
            try:
                return await self.create(resource, namespace, new, options, managed_by_apply=True), True
            except Refused as refused:
                if refused.reason != "AlreadyExists":
                    raise
        done = await self._change(resource, namespace, name, updated, options, subresource, subresource)
        return done, False

    async def store_change(
        self, resource: Resource, record: Record, new: Json, *, dry_run: bool = False
    ) -> Json:
        """Store an object that the server itself changed; an object that nothing holds any more goes away.

        Raises: Stale.
        """
        if dry_run:
            return new
        key = record.key
        if _unheld(resource, new):
            gone = await self._cluster.store.delete(key, record.rev)
            new["metadata"]["resourceVersion"] = str(gone.rev)
            return new
        written = await self._cluster.store.put(key, views.stored(resource, new), record.rev)
        return views.served(resource, written.load())

    # The way of an update

    async def _change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        updated: Callable[[Json, bool], Json],
        options: Options,
        subresource: str,
        told: str,
    ) -> Json:
        key = resource.key(namespace, name)
        for attempt in range(_ATTEMPTS):
            record = self._cluster.store.latest(key)
            if record is None:
                raise refusals.not_found(resource, name)
            live = views.served(resource, record.load())
            new = updated(live, attempt > 0)
            try:
                return await self._replace(resource, namespace, record, live, new, options, subresource, told)
            except Stale:
                continue
        raise refusals.conflict(resource, name)

    async def _replace(
        self,
        resource: Resource,
        namespace: str,
        record: Record,
        live: Json,
        new: Json,
        options: Options,
        subresource: str,
        told: str,
    ) -> Json:
        """Take an update from its managed fields to the store."""
        new = await self._mutated(resource, namespace, new, live, options, told, "UPDATE")
        preparing.for_update(resource, new, live, subresource, timestamp())
        is_service = resource.name == "services" and not subresource
        with self._addresses.assigned(record.key, new, live) if is_service else nullcontext():
            self._check(resource, new, live, subresource)
            review = self._review("UPDATE", resource, namespace, new, live, options, told)
            await self._validated(review, options)
            if new == live and not _unheld(resource, new):
                return live
            return await self.store_change(resource, record, new, dry_run=options.dry_run)

    def _carried(self, resource: Resource, subresource: str, new: Json, live: Json) -> Json:
        """What the client may not change stays as it is."""
        metadata = dict(new.get("metadata") or {})
        before = live["metadata"]
        for field in _KEPT_FIELDS:
            if field in before:
                metadata[field] = before[field]
            else:
                metadata.pop(field, None)
        if before.get("deletionTimestamp"):
            _check_finalizers(resource, metadata, before)
        if subresource in ("status", "approval"):
            return self._carried_status(resource, new, live, metadata)
        if subresource == "binding":
            return {**live, "spec": new["spec"], "status": new["status"]}
        if subresource in ("finalize", "resize", "ephemeralcontainers"):
            kept = {**live, "spec": new.get("spec", {})}
            return {**kept, "metadata": {**before, **_managed_part(metadata)}}
        new = {**new, "kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if resource.sub("status"):
            new.pop("status", None)
            if "status" in live:
                new["status"] = live["status"]
        return new

    @staticmethod
    def _carried_status(resource: Resource, new: Json, live: Json, metadata: Json) -> Json:
        out = {**live, "metadata": {**live["metadata"], **_managed_part(metadata)}}
        if resource.name in _STATUS_WITH_METADATA:
            out["metadata"] = metadata
        out.pop("status", None)
        if "status" in new:
            out["status"] = new["status"]
        return out

    def _check_version(self, resource: Resource, name: str, new: Json, live: Json) -> None:
        """Optimistic concurrency."""
        given = new.get("metadata") or {}
        uid = given.get("uid")
        have = live["metadata"]
        if given.get("name", name) != name:
            raise refusals.bad_request(
                f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
            )
        if uid and uid != have["uid"]:
            path = "/".join(part for part in (resource.name, have.get("namespace", ""), name) if part)
            why = (
                f"StorageError: invalid object, Code: 4, Key: /registry/{path}, ResourceVersion: 0, "
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
                f"UID in object meta: {have['uid']}"
            )
            raise refusals.conflict(resource, name, why)
        version = given.get("resourceVersion")
        if version and version != have["resourceVersion"]:
            if not str(version).isdigit():
                cause = invalid("metadata.resourceVersion", version, "must be an unsigned integer")
                raise refusals.invalid(resource, name, [cause])
            raise refusals.conflict(resource, name)

    # The steps that all writes share

    def _decoded(self, resource: Resource, obj: Any, options: Options, *, quiet: bool = False) -> Json:
        """The object as the resource's type reads it. Raises: WrongType, Refused."""
        obj = _typed(resource, obj)
        read = validation.pruned(self._cluster.node(resource), obj)
        if read.unknown:
            if options.validation == "Strict":
                listed = ", ".join(read.unknown)
                raise refusals.bad_request(f"{_handled(resource)}: strict decoding error: {listed}")
            if options.validation == "Warn" and not quiet:
                for message in read.unknown:
                    options.warn(message)
        return read.obj

    def _placed(self, resource: Resource, namespace: str, obj: Json) -> Json:
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

    def _check_namespace(self, resource: Resource, namespace: str, metadata: Json) -> None:
        """New objects need a namespace that stays."""
        if not resource.namespaced:
            return
        found = self._cluster.find("namespaces", "", namespace)
        if found is None:
            raise refusals.not_found(self._cluster.resource("", "namespaces"), namespace)
        if found["metadata"].get("deletionTimestamp") and resource.bucket != "events":
            name = metadata.get("name") or metadata.get("generateName", "")
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise refusals.forbidden(resource, name, why, causes=[cause])

    def _check_config(self, resource: Resource, namespace: str, name: str, config: Json) -> None:
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
        self._placed(resource, namespace, config)

    def _defaulted(self, resource: Resource, obj: Json) -> Json:
        if resource.custom is None:
            return defaults.defaulted(resource.group, resource.version, resource.kind, obj)
        return validation.defaulted(self._cluster.node(resource), obj)

    def _managed(
        self, resource: Resource, live: Json | None, new: Json, options: Options, subresource: str
    ) -> Json:
        return managed.updated(
            live,
            new,
            manager=options.manager,
            schema=self._cluster.node(resource),
            api_version=resource.api_version,
            subresource=subresource,
            now=timestamp(),
        )

    async def _mutated(
        self,
        resource: Resource,
        namespace: str,
        obj: Json,
        old: Json | None,
        options: Options,
        subresource: str,
        operation: str,
    ) -> Json:
        """The object after the mutating webhooks, read and defaulted again if they changed it."""
        review = self._review(operation, resource, namespace, obj, old, options, subresource)
        try:
            changed = await self._admission.mutated(review, options.warn)
        except Denied as error:
            raise _refused(error) from error
        if changed is None or changed is obj:
            return obj
        quiet = Options(options.user, options.manager, options.warn, options.dry_run, "Ignore")
        try:
            decoded = self._decoded(resource, changed, quiet)
        except validation.WrongType as error:
            message = f"Internal error occurred: {error.message}"
            raise Refused(500, "InternalError", message) from error
        return self._defaulted(resource, decoded)

    def _check(self, resource: Resource, obj: Json, old: Json | None, subresource: str) -> None:
        """Raise Refused 422 with everything that is wrong."""
        node = self._cluster.node(resource)
        found = checks.causes(
            resource.group,
            resource.kind,
            obj,
            old,
            namespaced=resource.namespaced,
            subresource=subresource,
        )
        if resource.custom is not None:
            found = _with_scale(resource, obj, [*found, *validation.causes(node, obj, old)])
        elif resource.bucket == CRDS and not subresource:
            found = [*found, *crds.causes(obj, old)]
        if found:
            raise refusals.invalid(resource, obj["metadata"].get("name", ""), found)

    async def _insert(self, resource: Resource, namespace: str, obj: Json, options: Options) -> Json:
        """Take a new object from its preparation to the store."""
        name = obj["metadata"]["name"]
        key = resource.key(namespace, name)
        try:
            is_service = resource.name == "services"
            with self._addresses.assigned(key, obj, None) if is_service else nullcontext():
                self._check(resource, obj, None, "")
                review = self._review("CREATE", resource, namespace, obj, None, options, "")
                await self._validated(review, options)
                if self._cluster.store.latest(key) is not None:
                    raise refusals.already_exists(resource, name)
                if options.dry_run:
                    return obj
                self._check_namespace(resource, namespace, obj["metadata"])
                record = await self._cluster.store.put(key, views.stored(resource, obj), None)
        except Refusal as refusal:
            raise refusals.invalid(resource, name, [refusal.cause]) from refusal
        except Stale as stale:
            raise refusals.already_exists(resource, name) from stale
        return views.served(resource, record.load())

    async def _validated(self, review: Review, options: Options) -> None:
        try:
            await self._admission.validated(review, options.warn)
        except Denied as error:
            raise _refused(error) from error

    def _review(
        self,
        operation: str,
        resource: Resource,
        namespace: str,
        obj: Json | None,
        old: Json | None,
        options: Options,
        subresource: str,
    ) -> Review:
        named = obj or old or {}
        kind = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions"}.get(operation, "DeleteOptions")
        return Review(
            operation=operation,
            group=resource.group,
            version=resource.version,
            kind=resource.kind,
            plural=resource.plural,
            namespaced=resource.namespaced,
            namespace=namespace if resource.namespaced else "",
            name=named.get("metadata", {}).get("name", ""),
            subresource=subresource,
            user=options.user.info(),
            obj=obj,
            old=old,
            options=options.admission(kind),
            dry_run=options.dry_run,
        )

    async def review_deletion(self, resource: Resource, namespace: str, live: Json, options: Options) -> None:
        """Ask the webhooks whether an object may be deleted.

        Raises: Refused.
        """
        review = self._review("DELETE", resource, namespace, None, live, options, "")
        try:
            await self._admission.mutated(review, options.warn)
            await self._admission.validated(review, options.warn)
        except Denied as error:
            raise _refused(error) from error

    # Pods

    async def _admit_pod(self, namespace: str, pod: Json) -> None:
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        shown_name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
        account = await self._account(namespace, name)
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise refusals.forbidden(self._cluster.resource("", "pods"), shown_name, why)
        pods.with_account(spec, account)
        pods.with_tolerations(spec)
        classes = {
            one["metadata"]["name"]: one for one in self._cluster.objects("scheduling.k8s.io/priorityclasses")
        }
        pods.with_priority(shown_name, spec, classes)

    async def _account(self, namespace: str, name: str) -> Json | None:
        """The service account; that of a new namespace is about to be made."""
        found = self._cluster.find("serviceaccounts", namespace, name)
        if found is not None or name != "default":
            return found
        arrived = asyncio.Event()
        stop = self._cluster.store.follow("serviceaccounts", lambda _event: arrived.set())
        try:
            async with asyncio.timeout(_ACCOUNT_WAIT):
                while (found := self._cluster.find("serviceaccounts", namespace, name)) is None:
                    arrived.clear()
                    await arrived.wait()
        except TimeoutError:
            return None
        finally:
            stop()
        return found


def _typed(resource: Resource, obj: Any) -> Json:
    """The body as an object of the resource's kind."""
    if not isinstance(obj, dict):
        raise refusals.bad_request("the request's body is not an object")
    version, kind = obj.get("apiVersion"), obj.get("kind")
    if (version or resource.api_version, kind or resource.kind) != (resource.api_version, resource.kind):
        group, _, short = (version or "").rpartition("/")
        internal = resource.group.partition(".")[0] or "core"
        raise refusals.bad_request(
            f'{kind} in version "{short}" cannot be handled as a {resource.kind}: converting '
            f"({group + '/' if group else ''}{short}.{kind}) to ({internal}.{resource.kind}): unknown conversion"
        )
    metadata = obj.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise refusals.bad_request(f"{_handled(resource)}: metadata must be an object")
    return {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata or {}}


def _handled(resource: Resource) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'


def _with_scale(resource: Resource, obj: Json, causes: list[Cause]) -> list[Cause]:
    """Add what is wrong at the path of the replicas; it stands before the note on rules left out."""
    scale = resource.custom.scale if resource.custom else None
    value: Any = obj if scale else None
    for name in scale.spec_replicas if scale else ():
        value = value.get(name) if isinstance(value, dict) else None
    if not causes or value is None or isinstance(value, int) or scale is None:
        return causes
    path = "." + ".".join(scale.spec_replicas)
    kind = {str: "string", float: "float64", bool: "bool"}.get(type(value), "map[string]interface {}")
    why = f"{path} accessor error: {value} is of the type {kind}, expected int64"
    at = next((n for n, cause in enumerate(causes) if cause.field == "<nil>"), len(causes))
    return [*causes[:at], Cause(path, "FieldValueInvalid", f"Invalid value: 0: {why}"), *causes[at:]]


def _mistyped(resource: Resource, obj: Json, error: validation.WrongType, patched: bool) -> Refused:
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


def _managed_part(metadata: Json) -> Json:
    return {"managedFields": metadata["managedFields"]} if "managedFields" in metadata else {}


def _unheld(resource: Resource, obj: Json) -> bool:
    """Whether an object that is being deleted has nothing left that holds it."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if resource.name == "namespaces":
        return not (obj.get("spec") or {}).get("finalizers")
    return not (resource.name == "pods" and metadata.get("deletionGracePeriodSeconds"))


def _check_finalizers(resource: Resource, metadata: Json, before: Json) -> None:
    added = [one for one in metadata.get("finalizers") or () if one not in (before.get("finalizers") or ())]
    if added:
        shown = ", ".join(f'"{one}"' for one in added)
        why = "no new finalizers can be added if the object is being deleted, found new finalizers "
        cause = Cause("metadata.finalizers", "FieldValueForbidden", f"Forbidden: {why}[]string{{{shown}}}")
        raise refusals.invalid(resource, before["name"], [cause])


def _refused(denied: Denied) -> Refused:
    return Refused(denied.code, denied.reason, denied.message, denied.details)
