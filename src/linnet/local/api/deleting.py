"""How objects go: finalizers, owner references, graceful pods, preconditions.

Source: Kubernetes, `BeforeDelete` and the generic registry's deletion; observed with 1.35.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from linnet.local.api import preparing, refusals, views
from linnet.local.api.cluster import Cluster, timestamp
from linnet.local.api.registry import Resource
from linnet.local.api.reviewing import Reviewer
from linnet.local.api.store import Stale
from linnet.local.api.watching import Selects
from linnet.local.api.writeoptions import Options
from linnet.local.api.writing import Writer

Json = dict[str, Any]

_ATTEMPTS = 8
_FINALIZERS = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}
# Their DELETE answers with the object although it is gone.
_ANSWER_OBJECT = frozenset(
    {
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumeclaims",
        "persistentvolumes",
        "resourcequotas",
        "podtemplates",
        "storage.k8s.io/storageclasses",
    }
)
_ORPHAN_BY_DEFAULT = frozenset({"replicationcontrollers", "batch/jobs"})
_KEPT_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; "
    "set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
)


class Deletion(Struct, frozen=True):
    """DeleteOptions. `grace` in seconds, None for the object's own."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    resource_version: str = ""


class Deleted(Struct, frozen=True):
    """What a deletion left: the object, and whether it is gone."""

    obj: Json
    gone: bool

    def answers_object(self, resource: Resource) -> bool:
        return not self.gone or resource.name in _ANSWER_OBJECT


class Deleter:
    """Deletes objects as Kubernetes would."""

    def __init__(self, cluster: Cluster, writer: Writer, reviewer: Reviewer) -> None:
        self._reviewer = reviewer
        self._cluster = cluster
        self._writer = writer

    async def delete(
        self, resource: Resource, namespace: str, name: str, deletion: Deletion, options: Options
    ) -> Deleted:
        """Remove an object, or mark it for those that hold it.

        Raises: Refused.
        """
        key = resource.key(namespace, name)
        for _ in range(_ATTEMPTS):
            record = self._cluster.store.latest(key)
            if record is None:
                raise refusals.not_found(resource, name)
            live = views.served(resource, record.load())
            self._check(resource, live, deletion)
            await self._reviewer.deletion(resource, namespace, live, options)
            marked = _marked(resource, live, deletion)
            try:
                if marked is not None:
                    if marked == live or options.dry_run:
                        return Deleted(marked, gone=False)
                    stored = await self._cluster.store.put(key, views.stored(resource, marked), record.rev)
                    return Deleted(views.served(resource, stored.load()), gone=False)
                self._warn(resource, deletion, options)
                if options.dry_run:
                    return Deleted(live, gone=True)
                gone = await self._cluster.store.delete(key, record.rev)
                return Deleted(views.served(resource, gone.load()), gone=True)
            except Stale:
                continue
        raise refusals.conflict(resource, name)

    async def delete_all(
        self,
        resource: Resource,
        namespace: str,
        selects: Selects | None,
        deletion: Deletion,
        options: Options,
    ) -> list[Json]:
        """Delete every selected object; those that others delete at the same time do not matter."""
        removed = []
        for record in self._cluster.store.records(resource.bucket, namespace):
            obj = record.load()
            if selects is not None and not selects(obj):
                continue
            metadata = obj["metadata"]
            try:
                done = await self.delete(
                    resource, metadata.get("namespace", ""), metadata["name"], deletion, options
                )
            except refusals.Refused as refused:
                if refused.code != 404:
                    raise
            else:
                removed.append(done.obj)
        return removed

    def _check(self, resource: Resource, live: Json, deletion: Deletion) -> None:
        metadata = live["metadata"]
        name = metadata["name"]
        if resource.name == "namespaces":
            if name in _KEPT_NAMESPACES:
                raise refusals.forbidden(resource, name, "this namespace may not be deleted")
            if metadata.get("deletionTimestamp") and live.get("spec", {}).get("finalizers"):
                why = (
                    "The system is ensuring all content is removed from this namespace.  "
                    "Upon completion, this namespace will automatically be purged by the system."
                )
                raise refusals.conflict(resource, name, why)
        for what, wanted, have in (
            ("UID", deletion.uid, metadata["uid"]),
            ("ResourceVersion", deletion.resource_version, metadata["resourceVersion"]),
        ):
            if wanted and wanted != have:
                why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {have}"
                raise refusals.conflict(resource, name, why)

    def _warn(self, resource: Resource, deletion: Deletion, options: Options) -> None:
        if resource.name == "batch/jobs" and not deletion.policy:
            options.warn(_JOB_WARNING)


def _marked(resource: Resource, live: Json, deletion: Deletion) -> Json | None:
    """The object with its deletionTimestamp, None if nothing holds it."""
    metadata = live["metadata"]
    finalizers = _finalizers(resource, metadata, deletion)
    grace = _grace(resource, live, deletion)
    held = resource.name == "namespaces" and bool((live.get("spec") or {}).get("finalizers"))
    if not (finalizers or grace or held):
        return None
    changed = {**metadata}
    if finalizers:
        changed["finalizers"] = finalizers
    else:
        changed.pop("finalizers", None)
    already = metadata.get("deletionTimestamp")
    if not already or grace < metadata.get("deletionGracePeriodSeconds", 0):
        changed["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
        if not held:
            changed["deletionGracePeriodSeconds"] = grace
        if not already and preparing.has_generation(resource):
            changed["generation"] = metadata.get("generation", 0) + 1
    marked = {**live, "metadata": changed}
    if held:
        marked["status"] = {**(live.get("status") or {}), "phase": "Terminating"}
    return marked


def _finalizers(resource: Resource, metadata: Json, deletion: Deletion) -> list[str]:
    """The finalizers that the propagation policy leaves."""
    policy = deletion.policy
    held = list(metadata.get("finalizers") or ())
    if not policy and not any(one in held for one in _FINALIZERS.values()):
        policy = "Orphan" if resource.name in _ORPHAN_BY_DEFAULT else "Background"
    if not policy:
        return held
    wanted = _FINALIZERS.get(policy)
    kept = [one for one in held if one == wanted or one not in _FINALIZERS.values()]
    return kept if wanted is None or wanted in kept else [*kept, wanted]


def _grace(resource: Resource, live: Json, deletion: Deletion) -> int:
    """Seconds that a pod gets to end; nothing else waits."""
    if resource.name != "pods":
        return 0
    spec, status = live["spec"], live.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    own = int(spec.get("terminationGracePeriodSeconds", 30))
    grace = own if deletion.grace is None else deletion.grace
    already = live["metadata"].get("deletionGracePeriodSeconds")
    return (
        grace if already is None else min(grace, int(already)) if deletion.grace is not None else int(already)
    )
