"""How objects change: one pipeline for create, update, patch, apply and every subresource.

    body ─▶ pruned, defaulted ─▶ managed fields ─▶ webhooks ─▶ prepared ─▶ checked ─▶ webhooks ─▶ store

Source: Kubernetes, the order in the create and update handlers of apiserver.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from linnet.local.api import (
    bodies,
    carrying,
    checking,
    podadmission,
    pods,
    preparing,
    quotas,
    refusals,
    reviewing,
    securitylevels,
    views,
)
from linnet.local.api.addresses import Addresses
from linnet.local.api.causes import required
from linnet.local.api.cluster import Cluster, timestamp
from linnet.local.api.copies import copied
from linnet.local.api.escalation import Guard
from linnet.local.api.records import Record
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource
from linnet.local.api.reviewing import Reviewer
from linnet.local.api.store import Stale
from linnet.local.api.writeoptions import Options
from linnet.local.api.writesteps import Steps

Json = dict[str, Any]
Edit = Callable[[Json], Json]

_ATTEMPTS = 8
# Kinds that are stored although nothing on this cluster acts on them: whoever makes one is told.
_UNATTENDED = {
    "apps/statefulsets": "no pods are made for it",
    "apps/daemonsets": "no pods are made for it",
    "batch/jobs": "no pods are made for it",
    "batch/cronjobs": "no jobs are made for it",
    "replicationcontrollers": "no pods are made for it",
    "persistentvolumeclaims": "no volume is made for it",
    "networking.k8s.io/ingresses": "no traffic follows it",
    "networking.k8s.io/networkpolicies": "it is not enforced",
}
_NAME = 253


class Writer:
    """Writes objects as Kubernetes would; every method answers with the object in the resource's version."""

    def __init__(self, cluster: Cluster, reviewer: Reviewer, addresses: Addresses, guard: Guard) -> None:
        self._guard = guard
        self._cluster = cluster
        self._reviewer = reviewer
        self._steps = Steps(cluster, reviewer, addresses)

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
        obj = self._steps.read(resource, obj, options)
        metadata = bodies.placed(resource, namespace, obj)
        if metadata.get("resourceVersion"):
            raise refusals.bad_request("resourceVersion should not be set on objects to be created")
        for field in carrying.SYSTEM_FIELDS:
            metadata.pop(field, None)
        if not metadata.get("name") and not metadata.get("generateName"):
            cause = required("metadata.name", "name or generateName is required")
            raise refusals.invalid(resource, "", [cause])
        self._steps.check_namespace(resource, namespace, metadata)
        obj = self._steps.defaulted(resource, obj)
        if resource.sub("status") and resource.name not in preparing.WRITES_STATUS:
            obj.pop("status", None)
        if not managed_by_apply:
            obj = self._steps.managed(resource, None, obj, options, "")
        if resource.name == "pods":
            await podadmission.admit(self._cluster, namespace, obj)
        obj = await self._steps.mutated(resource, namespace, obj, None, options, "", "CREATE")
        metadata = obj["metadata"]
        metadata["uid"] = str(uuid4())
        metadata["creationTimestamp"] = timestamp()
        if not metadata.get("name"):
            metadata["name"] = metadata["generateName"][: _NAME - 5] + pods.suffix()
        preparing.for_create(resource, obj, options.user, timestamp(), self._steps.others(resource))
        made = await self._insert(resource, namespace, obj, options)
        if resource.name in _UNATTENDED:
            options.warn(f"the local cluster only stores a {resource.kind}: {_UNATTENDED[resource.name]}")
        return made

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
            new = edit(copied(live))
            new = self._steps.read(resource, new, options, patched=patched, quiet=again)
            carrying.check_version(resource, name, new, live)
            new = carrying.carried(resource, subresource, new, live)
            new = self._steps.defaulted(resource, new)
            return self._steps.managed(resource, live, new, options, told)

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
        bodies.check_config(resource, namespace, name, config)

        def updated(live: Json, again: bool) -> Json:
            carrying.check_version(resource, name, config, live)
            new = self._steps.applied(resource, live, config, options, subresource)
            new = self._steps.read(resource, new, options, quiet=again)
            new = carrying.carried(resource, subresource, new, live)
            return self._steps.defaulted(resource, new)

        if self._cluster.store.latest(resource.key(namespace, name)) is None:
            if subresource:
                raise refusals.not_found(resource, name)
            new = self._steps.applied(resource, None, config, options, subresource)
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
        if carrying.unheld(resource, new):
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
        new = await self._steps.mutated(resource, namespace, new, live, options, told, "UPDATE")
        preparing.for_update(resource, new, live, subresource, timestamp(), self._steps.others(resource))
        wanted = resource.name == "services" and not subresource
        with self._steps.assigned(resource, record.key, new, live if wanted else None, wanted):
            checking.check(resource, self._cluster.node(resource), new, live, subresource)
            self._guard.check(resource, new, live, options.user)
            if resource.name == "namespaces" and not subresource:
                securitylevels.warn_of_pods(self._cluster, new, live, options.warn)
            review = reviewing.review("UPDATE", resource, namespace, new, live, options, told)
            await self._reviewer.validated(review, options)
            if new == live and not carrying.unheld(resource, new):
                return live
            return await self.store_change(resource, record, new, dry_run=options.dry_run)

    async def _insert(self, resource: Resource, namespace: str, obj: Json, options: Options) -> Json:
        """Take a new object from its preparation to the store."""
        name = obj["metadata"]["name"]
        key = resource.key(namespace, name)
        try:
            with self._steps.assigned(resource, key, obj, None, resource.name == "services"):
                checking.check(resource, self._cluster.node(resource), obj, None, "")
                self._guard.check(resource, obj, None, options.user)
                self._steps.check_limits(resource, namespace, obj)
                securitylevels.judge(self._cluster, resource, namespace, obj, options.warn)
                review = reviewing.review("CREATE", resource, namespace, obj, None, options, "")
                await self._reviewer.validated(review, options)
                if self._cluster.store.latest(key) is not None:
                    raise refusals.already_exists(resource, name)
                if resource.namespaced:
                    quotas.check(self._cluster, resource, namespace, obj)
                if options.dry_run:
                    return obj
                self._steps.check_namespace(resource, namespace, obj["metadata"])
                record = await self._cluster.store.put(key, views.stored(resource, obj), None)
        except Stale as stale:
            raise refusals.already_exists(resource, name) from stale
        return views.served(resource, record.load())
