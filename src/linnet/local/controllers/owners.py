"""Who owns whom. Source: Kubernetes, OwnerReference."""

from typing import Any

Object = dict[str, Any]


def controller_of(obj: Object) -> Object | None:
    """The owner reference that is marked as controller."""
    return next((ref for ref in obj["metadata"].get("ownerReferences") or () if ref.get("controller")), None)


def owned_by(obj: Object, owner: Object) -> bool:
    """Whether `owner` is the controller of `obj`."""
    ref = controller_of(obj)
    return ref is not None and ref["uid"] == owner["metadata"]["uid"]


def reference(owner: Object) -> Object:
    """A controller reference to `owner`."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def deleting(obj: Object) -> bool:
    """Whether the object is on its way out."""
    return bool(obj["metadata"].get("deletionTimestamp"))
