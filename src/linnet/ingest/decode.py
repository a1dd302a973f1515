"""JSON objects become typed ones, once."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from linnet.ingest.report import Report, shape_fault
from linnet.model.problem import Ref
from linnet.objects.core import Metadata

T = TypeVar("T")
Raw = Mapping[str, Any]
Key = tuple[str, str]  # namespace, name


class Item(Struct, frozen=True):
    """What ingest needs of an object's metadata, and its spec as written."""

    kind: str
    namespace: str
    name: str
    created: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Any

    @property
    def ref(self) -> Ref:
        """How problems name it."""
        return Ref(self.kind, self.namespace, self.name)


def item(kind: str, key: Key, raw: Raw) -> Item:
    """Metadata and spec of any object; metadata of a wrong shape counts as absent."""
    try:
        meta = msgspec.convert(raw.get("metadata", {}), Metadata, strict=False)
    except msgspec.ValidationError:
        meta = Metadata()
    return Item(
        kind, *key, meta.creation_timestamp or "", meta.labels or {}, meta.annotations or {}, raw.get("spec")
    )


def spec_of(held: Item, kind: type[T], report: Report) -> T | None:
    """The spec as a type; None, with the problem reported, if it does not have that shape."""
    try:
        return msgspec.convert(held.spec if held.spec is not None else {}, kind, strict=False)
    except msgspec.ValidationError as fault:
        report.invalid(*shape_fault(fault))
        return None


def core(raw: Raw, kind: type[T]) -> T | None:
    """A Kubernetes object as a type; None if it does not have that shape, which no API server lets happen."""
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError:
        return None
