"""What every part of the server shares: the stored objects, the served resources and their schemas."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from linnet.local.api import crds
from linnet.local.api.records import Event
from linnet.local.api.registry import Registry, Resource
from linnet.local.api.schemas import Node, Schemas
from linnet.local.api.store import Store

Json = dict[str, Any]

CRDS = "apiextensions.k8s.io/customresourcedefinitions"


@dataclass(slots=True)
class Cluster:
    """The state that requests read and write."""

    store: Store
    registry: Registry
    schemas: Schemas

    def __post_init__(self) -> None:
        for record in self.store.records(CRDS):
            self._serve(record.load())
        # Called before the writer of a CRD is answered: `apply crd && apply cr` works.
        self.store.follow(CRDS, self._crd_changed)

    def resource(self, group: str, plural: str) -> Resource:
        """A built-in resource in its preferred version."""
        found = self.registry.any_version(group, plural)
        assert found is not None, f"{plural}.{group} is built in"
        return found

    def node(self, resource: Resource) -> Node | None:
        """The schema of a resource's objects."""
        return self.schemas.of(resource.group, resource.version, resource.kind)

    def find(self, name: str, namespace: str, of: str) -> Json | None:
        """An object by `<group>/<plural>`, namespace ("" for none) and name."""
        key = f"{name}|{namespace}/{of}" if namespace else f"{name}|{of}"
        record = self.store.latest(key)
        return record.load() if record else None

    def lookup(self, plural: str, namespace: str, name: str) -> Json | None:
        """An object of the core group, for webhooks."""
        return self.find(plural, namespace, name)

    def objects(self, name: str, namespace: str = "") -> Iterator[Json]:
        """The durable objects of `<group>/<plural>`."""
        return (record.load() for record in self.store.records(name, namespace))

    def _crd_changed(self, event: Event) -> None:
        crd = event.record.load()
        if event.before is not None:
            self._forget(event.before.load())
        if event.change == "DELETED":
            spec = crd["spec"]
            self.registry.replace_custom(spec["group"], spec["names"]["plural"], ())
        else:
            self._serve(crd)

    def _serve(self, crd: Json) -> None:
        served = crds.served(crd)
        for one in served:
            self.schemas.register(one.group, one.version, one.kind, one.schema)
        spec = crd["spec"]
        self.registry.replace_custom(spec["group"], spec["names"]["plural"], served)

    def _forget(self, crd: Json) -> None:
        for one in crds.served(crd):
            self.schemas.forget(one.group, one.version, one.kind)


def timestamp(at: datetime | None = None) -> str:
    """RFC 3339 in seconds, as metadata carries it."""
    return (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
