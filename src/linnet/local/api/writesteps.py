"""The steps of a write: what happens to an object between a request and the store.

Source: Kubernetes, the order in the create and update handlers of apiserver.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from linnet.local.api import bodies, defaults, limits, managed, refusals, reviewing, validation
from linnet.local.api.addresses import Addresses, Refusal
from linnet.local.api.cluster import CRDS, Cluster, timestamp
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.reviewing import Reviewer
from linnet.local.api.writeoptions import Options

Json = dict[str, Any]


class Steps:
    """Each takes an object further, or says why not."""

    def __init__(self, cluster: Cluster, reviewer: Reviewer, addresses: Addresses) -> None:
        self._cluster = cluster
        self._reviewer = reviewer
        self._addresses = addresses

    def read(
        self, resource: Resource, obj: Any, options: Options, *, patched: bool = False, quiet: bool = False
    ) -> Json:
        """The object pruned; `quiet`: no warnings again. Raises Refused."""
        try:
            return self._decoded(resource, obj, options, quiet=quiet)
        except validation.WrongType as error:
            raise bodies.mistyped(resource, obj, error, patched) from error

    def defaulted(self, resource: Resource, obj: Json) -> Json:
        """The object with its defaults."""
        if resource.custom is None:
            return defaults.defaulted(resource.group, resource.version, resource.kind, obj)
        return validation.defaulted(self._cluster.node(resource), obj)

    def managed(
        self, resource: Resource, live: Json | None, new: Json, options: Options, subresource: str
    ) -> Json:
        """The object with managed fields that say who changed what."""
        return managed.updated(
            live,
            new,
            manager=options.manager,
            schema=self._cluster.node(resource),
            api_version=resource.api_version,
            subresource=subresource,
            now=timestamp(),
        )

    def applied(
        self, resource: Resource, live: Json | None, config: Json, options: Options, subresource: str
    ) -> Json:
        """An object with a configuration applied to it. Raises Refused, also for conflicts."""
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

    async def mutated(
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
        review = reviewing.review(operation, resource, namespace, obj, old, options, subresource)
        changed = await self._reviewer.mutated(review, options)
        if changed is None or changed is obj:
            return obj
        quiet = Options(options.user, options.manager, options.warn, options.dry_run, "Ignore")
        try:
            decoded = self._decoded(resource, changed, quiet)
        except validation.WrongType as error:
            message = f"Internal error occurred: {error.message}"
            raise Refused(500, "InternalError", message) from error
        return self.defaulted(resource, decoded)

    def check_namespace(self, resource: Resource, namespace: str, metadata: Json) -> None:
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

    def check_limits(self, resource: Resource, namespace: str, obj: Json) -> None:
        """A new Pod within the bounds of its namespace."""
        if resource.name != "pods":
            return
        why = limits.complaint(obj, self._cluster.objects("limitranges", namespace))
        if why:
            raise refusals.forbidden(resource, obj["metadata"]["name"], why)

    def others(self, resource: Resource) -> Iterator[Json]:
        """The stored objects whose names a new one must not take; only CRDs have names to clash."""
        return self._cluster.objects(CRDS) if resource.bucket == CRDS else iter(())

    @contextmanager
    def assigned(
        self, resource: Resource, key: str, obj: Json, old: Json | None, wanted: bool
    ) -> Iterator[None]:
        """Give a Service its addresses; others need none."""
        if not wanted:
            yield
            return
        try:
            with self._addresses.assigned(key, obj, old):
                yield
        except Refusal as refusal:
            raise refusals.invalid(resource, obj["metadata"]["name"], [refusal.cause]) from refusal

    def _decoded(self, resource: Resource, obj: Any, options: Options, *, quiet: bool = False) -> Json:
        strictness = "Ignore" if quiet and options.validation != "Strict" else options.validation
        reading = bodies.Reading(strictness, options.warn)
        return bodies.decoded(resource, obj, self._cluster.node(resource), reading)
