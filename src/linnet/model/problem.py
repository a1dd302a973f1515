"""What is wrong with an object: a value beside the result, reported in the object's status, never raised."""

from msgspec import Struct


class Ref(Struct, frozen=True):
    """An object of the API: kind name, namespace, name."""

    kind: str
    namespace: str
    name: str


class Problem(Struct, frozen=True):
    """`reason` is CamelCase as in Kubernetes' conditions; `path` leads to the field, `spec.http[0].timeout`.

    Reasons: `FieldNotHonoured` (accepted, has no effect yet), `Invalid` (left out, neighbours go on),
    `Conflict` (another object has the first claim), `NotFound` (refers to something that is not there).
    """

    about: Ref
    reason: str
    path: str
    message: str
