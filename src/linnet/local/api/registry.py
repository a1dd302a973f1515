"""Which resources are served: the built-in ones as Kubernetes 1.35 lists them, and those of CRDs.

Source: the aggregated discovery of a kube-apiserver v1.35.4 (`data/discovery.json.gz`).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from linnet.local.api.crds import Served
from linnet.local.api.definitions import packed

Json = dict[str, Any]


class Subresource(Struct, frozen=True):
    """`pods/log`; the kind of its answer may belong to another group."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


class Resource(Struct, frozen=True):
    """One resource in one served version."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    bucket: str = ""  # where its objects are stored; versions of one resource share it
    custom: Served | None = None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """`pods`, `apps/deployments`: group and plural."""
        return f"{self.group}/{self.plural}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        return self.custom.list_kind if self.custom else f"{self.kind}List"

    def sub(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)

    def key(self, namespace: str, name: str) -> str:
        """The store's key of an object."""
        return f"{self.bucket}|{namespace}/{name}" if self.namespaced else f"{self.bucket}|{name}"


# Events are one resource under two groups.
_BUCKETS = {"events.k8s.io/events": "events"}
_STATUS_VERBS = ("get", "patch", "update")
_ALL_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


@dataclass(slots=True)
class Registry:
    """All served resources by path; `changed` callbacks hear of new and vanished ones."""

    resources: dict[tuple[str, str, str], Resource] = field(default_factory=dict)
    generation: int = 0
    _changed: list[Callable[[], None]] = field(default_factory=list)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self.resources.get((group, version, plural))

    def kind(self, group: str, version: str, kind: str) -> Resource | None:
        """The resource of a kind."""
        found = (r for r in self.resources.values() if (r.group, r.version, r.kind) == (group, version, kind))
        return next(found, None)

    def any_version(self, group: str, plural: str) -> Resource | None:
        """The resource in its preferred version."""
        for version in self.versions(group):
            if found := self.find(group, version, plural):
                return found
        return None

    def groups(self) -> list[str]:
        """Groups in the order of discovery: built-in ones as Kubernetes lists them, then custom ones."""
        return list(dict.fromkeys(resource.group for resource in self.resources.values()))

    def versions(self, group: str) -> list[str]:
        """Versions of a group, most preferred first."""
        found = {resource.version for resource in self.resources.values() if resource.group == group}
        return sorted(found, key=_rank, reverse=True)

    def custom_versions(self, group: str, plural: str) -> list[tuple[str, str]]:
        """Version and kind of every served version of a custom resource, the most preferred first."""
        found = (self.find(group, version, plural) for version in self.versions(group))
        return [(one.version, one.kind) for one in found if one is not None and one.custom is not None]

    def of(self, group: str, version: str) -> list[Resource]:
        return [r for r in self.resources.values() if (r.group, r.version) == (group, version)]

    def replace_custom(self, group: str, plural: str, served: Iterable[Served]) -> None:
        """Serve exactly these versions of a custom resource."""
        kept = {
            key: resource
            for key, resource in self.resources.items()
            if resource.custom is None or (resource.group, resource.plural) != (group, plural)
        }
        added = {(one.group, one.version, one.plural): _custom(one) for one in served}
        builtin = {key: value for key, value in kept.items() if value.custom is None}
        custom = {key: value for key, value in kept.items() if value.custom is not None} | added
        ordered = sorted(custom.items(), key=lambda item: (item[0][0], _negative(item[0][1]), item[0][2]))
        self.resources = {**builtin, **dict(ordered)}
        self.generation += 1
        for call in tuple(self._changed):
            call()

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call it after every change; the result ends that."""
        self._changed.append(call)
        return lambda: self._changed.remove(call)


def builtin() -> Registry:
    """A registry of what Kubernetes itself serves."""
    registry = Registry()
    for group in packed("discovery.json.gz"):
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            for described in version["resources"]:
                resource = _described(name, version["version"], described)
                registry.resources[name, version["version"], resource.plural] = resource
    return registry


def _described(group: str, version: str, described: Json) -> Resource:
    answer = described["responseKind"]
    path = f"{group}/{described['resource']}" if group else described["resource"]
    return Resource(
        group=group,
        version=version,
        plural=described["resource"],
        singular=described["singularResource"],
        kind=answer["kind"],
        namespaced=described["scope"] == "Namespaced",
        verbs=tuple(described["verbs"]),
        short_names=tuple(described.get("shortNames", ())),
        categories=tuple(described.get("categories", ())),
        subresources=tuple(
            Subresource(
                sub["subresource"],
                sub["responseKind"]["group"],
                sub["responseKind"]["version"],
                sub["responseKind"]["kind"],
                tuple(sub["verbs"]),
            )
            for sub in described.get("subresources", ())
        ),
        bucket=_BUCKETS.get(path, path),
    )


def _custom(served: Served) -> Resource:
    subs = []
    if served.status:
        subs.append(Subresource("status", served.group, served.version, served.kind, _STATUS_VERBS))
    if served.scale is not None:
        subs.append(Subresource("scale", "autoscaling", "v1", "Scale", _STATUS_VERBS))
    return Resource(
        group=served.group,
        version=served.version,
        plural=served.plural,
        singular=served.singular,
        kind=served.kind,
        namespaced=served.namespaced,
        verbs=_ALL_VERBS,
        short_names=served.short_names,
        categories=served.categories,
        subresources=tuple(subs),
        bucket=f"{served.group}/{served.plural}",
        custom=served,
    )


def _rank(version: str) -> tuple[int, int, int, str]:
    """v2 before v1 before v1beta2 before v1alpha1 before anything else.

    Source: Kubernetes, version priority of CustomResourceDefinitions.
    """
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (0, 0, 0, version)
    level = {None: 3, "beta": 2, "alpha": 1}[match[2]]
    return (level, int(match[1]), int(match[3] or 0), version)


def _negative(version: str) -> tuple[int, int, int]:
    level, major, minor, _ = _rank(version)
    return (-level, -major, -minor)
