"""RBAC: whether the stored roles and bindings allow a request.

What is remembered about a user is forgotten with every change of a role or binding.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from linnet.local.api import selectors
from linnet.local.api.cluster import Cluster
from linnet.local.api.records import Event
from linnet.local.api.users import MASTERS, NODES, User, service_account

Json = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
_KINDS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
_EVERYTHING = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)
_NODE_ROLE = "system:node"


class Attributes(Struct, frozen=True):
    """What somebody wants to do: to a resource, or with another path (`path` set)."""

    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(slots=True)
class Authorizer:
    """Answers from the stored RBAC objects."""

    cluster: Cluster
    _rules: dict[tuple[str, tuple[str, ...], str], tuple[Json, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in _KINDS:
            self.cluster.store.follow(f"{_GROUP}/{kind}", self._forget)

    def allows(self, user: User, wanted: Attributes) -> bool:
        """Whether a rule of the user's roles covers the request."""
        if MASTERS in user.groups:
            return True
        return any(covers(rule, wanted) for rule in self.rules(user, wanted.namespace))

    def rules(self, user: User, namespace: str) -> tuple[Json, ...]:
        """Every rule that holds for the user in a namespace ("" for the cluster alone)."""
        if MASTERS in user.groups:
            return _EVERYTHING
        key = (user.name, user.groups, namespace)
        found = self._rules.get(key)
        if found is None:
            found = self._rules[key] = tuple(self._find(user, namespace))
        return found

    def _find(self, user: User, namespace: str) -> Iterator[Json]:
        if NODES in user.groups:
            # Kubernetes has an authorizer of its own for nodes, with the same permissions, object by object.
            yield from self._role("", {"kind": "ClusterRole", "name": _NODE_ROLE})
        for binding in self.cluster.objects(f"{_GROUP}/clusterrolebindings"):
            if _binds(binding, user):
                yield from self._role("", binding["roleRef"])
        if namespace:
            for binding in self.cluster.objects(f"{_GROUP}/rolebindings", namespace):
                if _binds(binding, user):
                    yield from self._role(namespace, binding["roleRef"])

    def _role(self, namespace: str, ref: Json) -> Iterator[Json]:
        if ref["kind"] == "Role":
            role = self.cluster.find(f"{_GROUP}/roles", namespace, ref["name"])
            yield from (role or {}).get("rules") or ()
            return
        role = self.cluster.find(f"{_GROUP}/clusterroles", "", ref["name"])
        if role is None:
            return
        yield from role.get("rules") or ()
        yield from aggregated(role, self.cluster.objects(f"{_GROUP}/clusterroles"))

    def _forget(self, _event: Event) -> None:
        self._rules.clear()


def aggregated(role: Json, others: Iterable[Json]) -> Iterator[Json]:
    """The rules that a role collects from others by their labels."""
    wanted = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    if not wanted:
        return
    for other in others:
        labels = other["metadata"].get("labels") or {}
        if other["metadata"]["name"] != role["metadata"]["name"] and any(
            selectors.selected(selector, labels) for selector in wanted
        ):
            yield from other.get("rules") or ()


def _binds(binding: Json, user: User) -> bool:
    home = binding["metadata"].get("namespace", "")
    for subject in binding.get("subjects") or ():
        name = subject.get("name", "")
        match subject.get("kind"):
            case "User" if name == user.name:
                return True
            case "Group" if name in user.groups:
                return True
            case "ServiceAccount" if user.name == service_account(subject.get("namespace") or home, name):
                return True
    return False


def covers(rule: Json, wanted: Attributes) -> bool:
    """Whether a rule allows it."""
    if not _has(rule.get("verbs"), wanted.verb):
        return False
    if not wanted.resource:  # another path
        return any(_is_under(wanted.path, pattern) for pattern in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), wanted.group):
        return False
    if not _names_resource(rule.get("resources") or (), wanted):
        return False
    names = rule.get("resourceNames")
    return not names or wanted.name in names


def _names_resource(resources: Iterable[str], wanted: Attributes) -> bool:
    full = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    return any(
        one in ("*", full) or (wanted.subresource and one == f"*/{wanted.subresource}") for one in resources
    )


def _is_under(path: str, pattern: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _has(values: Iterable[str] | None, value: str) -> bool:
    found = values or ()
    return value in found or "*" in found
