"""What an update may change: everything else stays as it is stored."""

from typing import Any

from linnet.local.api import refusals
from linnet.local.api.causes import Cause, invalid
from linnet.local.api.registry import Resource

Json = dict[str, Any]

SYSTEM_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)
_KEPT_FIELDS = (
    *SYSTEM_FIELDS,
    "name",
    "namespace",
    "generateName",
    "generation",
    "resourceVersion",
)
# Writes to their status may also change labels and annotations.
_STATUS_WITH_METADATA = frozenset({"pods", "nodes", "namespaces", "services", "apps/deployments"})


def carried(resource: Resource, subresource: str, new: Json, live: Json) -> Json:
    """The new object, with what the client may not change as it is in the live one.

    Raises: Refused 422 for new finalizers on an object that is being deleted.
    """
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
        return _carried_status(resource, new, live, metadata)
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


def _carried_status(resource: Resource, new: Json, live: Json, metadata: Json) -> Json:
    out = {**live, "metadata": {**live["metadata"], **_managed_part(metadata)}}
    if resource.name in _STATUS_WITH_METADATA:
        out["metadata"] = metadata
    out.pop("status", None)
    if "status" in new:
        out["status"] = new["status"]
    return out


def check_version(resource: Resource, name: str, new: Json, live: Json) -> None:
    """Optimistic concurrency. Raises: Refused 409, or 400 for another name."""
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


def unheld(resource: Resource, obj: Json) -> bool:
    """Whether an object that is being deleted has nothing left that holds it."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if resource.name == "namespaces":
        return not (obj.get("spec") or {}).get("finalizers")
    return not (resource.name == "pods" and metadata.get("deletionGracePeriodSeconds"))


def _managed_part(metadata: Json) -> Json:
    return {"managedFields": metadata["managedFields"]} if "managedFields" in metadata else {}


def _check_finalizers(resource: Resource, metadata: Json, before: Json) -> None:
    added = [one for one in metadata.get("finalizers") or () if one not in (before.get("finalizers") or ())]
    if added:
        shown = ", ".join(f'"{one}"' for one in added)
        why = "no new finalizers can be added if the object is being deleted, found new finalizers "
        cause = Cause("metadata.finalizers", "FieldValueForbidden", f"Forbidden: {why}[]string{{{shown}}}")
        raise refusals.invalid(resource, before["name"], [cause])
