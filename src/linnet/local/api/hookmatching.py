"""Which requests an admission webhook or policy wants to see.

Source: Kubernetes, `apiserver/pkg/admission/plugin/webhook/{rules,predicates}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from linnet.local.api import selectors

Json = dict[str, Any]
Lookup = Callable[[str, str, str], Json | None]  # plural, namespace, name
Versions = Callable[[str, str], Iterable[tuple[str, str]]]  # group, plural -> version, kind

_GROUP = "admissionregistration.k8s.io"


class Review(msgspec.Struct, frozen=True):
    """A request on its way into the store."""

    operation: str  # CREATE, UPDATE, DELETE, CONNECT
    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    namespace: str
    name: str
    subresource: str
    user: Json  # UserInfo: username, uid, groups, extra
    obj: Json | None
    old: Json | None
    options: Json  # CreateOptions, UpdateOptions, DeleteOptions with kind and apiVersion
    dry_run: bool

    def qualified(self) -> str:
        """`deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Denied(Exception):
    """A webhook (or its failure) refused the request; the fields are those of the Status."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details


def exempt(review: Review) -> bool:
    """Webhooks and policies never judge their own configurations."""
    return review.group == _GROUP


def matched_version(
    review: Review, rules: Iterable[Json], *, equivalent: bool, versions: Versions
) -> tuple[str, str] | None:
    """The version and kind in which the request is shown, None if no rule wants it."""
    listed = list(rules)
    if any(_rule_matches(rule, review, review.version) for rule in listed):
        return review.version, review.kind
    if equivalent:
        for version, kind in versions(review.group, review.plural):
            if any(_rule_matches(rule, review, version) for rule in listed):
                return version, kind
    return None


def _rule_matches(rule: Json, review: Review, version: str) -> bool:
    def listed(field: str, value: str) -> bool:
        values = rule.get(field) or ()
        return "*" in values or value in values

    scope = rule.get("scope") or "*"
    return (
        listed("operations", review.operation)
        and listed("apiGroups", review.group)
        and listed("apiVersions", version)
        and scope in ("*", "Namespaced" if review.namespaced else "Cluster")
        and _resource_matches(rule, review)
    )


def _resource_matches(rule: Json, review: Review) -> bool:
    names = rule.get("resourceNames")
    if names and review.name not in names:
        return False
    for entry in rule.get("resources") or ():
        plural, _, subresource = entry.partition("/")
        if plural in ("*", review.plural) and subresource in ("*", review.subresource):
            return True
    return False


def selects(hook: Json, review: Review, lookup: Lookup) -> bool:
    """Whether the namespace selector and the object selector both let the request in."""
    return _namespace_selected(hook.get("namespaceSelector"), review, lookup) and _object_selected(
        hook.get("objectSelector"), review
    )


def _empty(selector: Json | None) -> bool:
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def _labels(obj: Json | None) -> dict[str, str]:
    found: dict[str, str] = ((obj or {}).get("metadata") or {}).get("labels") or {}
    return found


def _namespace_selected(selector: Json | None, review: Review, lookup: Lookup) -> bool:
    if _empty(selector):
        return True
    if review.group == "" and review.plural == "namespaces":
        given = review.obj if review.obj is not None and review.operation != "DELETE" else review.old
        return selectors.selected(selector, _labels(given or review.obj))
    if not review.namespaced:
        return True
    return selectors.selected(selector, _labels(lookup("namespaces", "", review.namespace)))


def _object_selected(selector: Json | None, review: Review) -> bool:
    if _empty(selector):
        return True
    return any(
        obj is not None and selectors.selected(selector, _labels(obj)) for obj in (review.obj, review.old)
    )


def variables(review: Review) -> Json:
    """What CEL expressions of webhooks and policies see."""
    return {"object": review.obj, "oldObject": review.old, "request": request(review, "")}


def request(review: Review, uid: str) -> Json:
    """The attributes of a request as an AdmissionRequest, without its objects."""
    kind = {"group": review.group, "version": review.version, "kind": review.kind}
    resource = {"group": review.group, "version": review.version, "resource": review.plural}
    out: Json = {"uid": uid, "kind": kind, "resource": resource}
    if review.subresource:
        out["subResource"] = review.subresource
    out["requestKind"] = kind
    out["requestResource"] = resource
    if review.subresource:
        out["requestSubResource"] = review.subresource
    if review.name:
        out["name"] = review.name
    if review.namespace:
        out["namespace"] = review.namespace
    out["operation"] = review.operation
    out["userInfo"] = review.user
    out["dryRun"] = review.dry_run
    out["options"] = review.options
    return out


def conditions_hold(hook: Json, review: Review) -> bool:
    """Whether every `matchConditions` expression is true.

    Raises: Denied where one fails and the hook must not be missed.
    """
    conditions = hook.get("matchConditions") or ()
    if not conditions:
        return True
    from linnet.local.api.celengine import CelError, evaluate  # costs 0.13 s of CPU

    seen = variables(review)
    problems = []
    for condition in conditions:
        try:
            if evaluate(condition["expression"], seen) is not True:
                return False
        except CelError as error:
            problems.append(f"expression '{condition['expression']}' resulted in error: {error}")
    if not problems:
        return True
    if hook.get("failurePolicy") == "Ignore":
        return False
    message = f'{review.qualified()} "{review.name}" is forbidden: {"; ".join(problems)}'
    raise Denied(403, "Forbidden", message, {"name": review.name, "kind": review.plural})
