"""Nobody gives away what they do not have: roles and bindings against the rights of their author.

Source: Kubernetes, `registry/rbac`: `ConfirmNoEscalation`, the verbs `escalate` and `bind`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import orjson

from linnet.local.api import refusals
from linnet.local.api.cluster import Cluster
from linnet.local.api.rbac import Attributes, Authorizer, covers
from linnet.local.api.registry import Resource
from linnet.local.api.users import MASTERS, User

Json = dict[str, Any]

_GROUP = "rbac.authorization.k8s.io"
_ROLES = frozenset({f"{_GROUP}/roles", f"{_GROUP}/clusterroles"})
_BINDINGS = frozenset({f"{_GROUP}/rolebindings", f"{_GROUP}/clusterrolebindings"})
_EVERYTHING: tuple[Json, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


@dataclass(slots=True)
class Guard:
    """Judges what is about to be stored."""

    cluster: Cluster
    authorizer: Authorizer

    def check(self, resource: Resource, obj: Json, old: Json | None, user: User) -> None:
        """Refuse a role or binding with rights that its author does not have.

        Raises: Refused 403.
        """
        if resource.name in _ROLES and MASTERS not in user.groups:
            self._role(resource, obj, old, user)
        elif resource.name in _BINDINGS and MASTERS not in user.groups:
            self._binding(resource, obj, old, user)

    def _role(self, resource: Resource, obj: Json, old: Json | None, user: User) -> None:
        parts = ("rules", "aggregationRule")
        if old is not None and all(obj.get(part) == old.get(part) for part in parts):
            return
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        if self._may(user, "escalate", resource.plural, namespace, name):
            return
        if obj.get("aggregationRule") and _missing(self.authorizer.rules(user, ""), _EVERYTHING):
            why = "must have cluster-admin privileges to use an aggregationRule"
            raise refusals.forbidden(resource, name, why)
        self._compare(resource, name, namespace, obj.get("rules") or (), user)

    def _binding(self, resource: Resource, obj: Json, old: Json | None, user: User) -> None:
        if old is not None and all(obj.get(part) == old.get(part) for part in ("roleRef", "subjects")):
            return
        metadata, ref = obj["metadata"], obj["roleRef"]
        namespace = metadata.get("namespace", "")
        plural = "roles" if ref["kind"] == "Role" else "clusterroles"
        if self._may(user, "bind", plural, namespace, ref["name"]):
            return
        role = self.cluster.find(f"{_GROUP}/{plural}", namespace if plural == "roles" else "", ref["name"])
        if role is None:
            raise refusals.not_found(self.cluster.resource(_GROUP, plural), ref["name"])
        self._compare(resource, metadata["name"], namespace, role.get("rules") or (), user)

    def _may(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        wanted = Attributes(verb, group=_GROUP, resource=plural, namespace=namespace, name=name)
        return self.authorizer.allows(user, wanted)

    def _compare(
        self, resource: Resource, name: str, namespace: str, rules: Iterable[Json], user: User
    ) -> None:
        missing = _missing(self.authorizer.rules(user, namespace), rules)
        if missing:
            groups = " ".join(map(_quoted, user.groups))
            why = (
                f"user {_quoted(user.name)} (groups=[{groups}]) is attempting to grant RBAC permissions "
                "not currently held:\n" + "\n".join(missing)
            )
            raise refusals.forbidden(resource, name, why)


def _missing(held: Iterable[Json], wanted: Iterable[Json]) -> list[str]:
    """The rights in `wanted` that `held` does not cover, one resource a line as Kubernetes shows them."""
    own = list(held)
    verbs: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for rule in wanted:
        for place, attributes in _single(rule):
            if not any(covers(one, attributes) for one in own):
                verbs.setdefault(place, []).append(attributes.verb)
    return sorted(
        "{" + ", ".join([*(f'{name}:["{value}"]' for name, value in place), _listed("Verbs", found)]) + "}"
        for place, found in verbs.items()
    )


def _single(rule: Json) -> Iterator[tuple[tuple[tuple[str, str], ...], Attributes]]:
    """Every single right of a rule: where it holds, and what it allows."""
    for verb, url in product(rule.get("verbs") or (), rule.get("nonResourceURLs") or ()):
        yield (("NonResourceURLs", url),), Attributes(verb, path=url)
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    for verb, group, full, name in product(
        rule.get("verbs") or (), groups, resources, rule.get("resourceNames") or ("",)
    ):
        plural, _, subresource = full.partition("/")
        place = (("APIGroups", group), ("Resources", full), *((("ResourceNames", name),) if name else ()))
        yield (
            place,
            Attributes(verb, group=group, resource=plural, subresource=subresource, name=name),
        )


def _listed(name: str, values: Iterable[str]) -> str:
    return f"{name}:[{' '.join(map(_quoted, dict.fromkeys(values)))}]"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
