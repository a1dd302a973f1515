"""Reviews: requests that are answered and not stored: who am I, may I, is this token good."""

from collections.abc import Sequence
from typing import Any

from linnet.local.api import refusals
from linnet.local.api.authn import Authenticator
from linnet.local.api.causes import Cause
from linnet.local.api.rbac import Attributes, Authorizer
from linnet.local.api.registry import Resource
from linnet.local.api.tokens import ISSUER, BadToken
from linnet.local.api.users import User

Json = dict[str, Any]

KINDS = frozenset(
    {
        "TokenReview",
        "SelfSubjectReview",
        "SubjectAccessReview",
        "SelfSubjectAccessReview",
        "LocalSubjectAccessReview",
        "SelfSubjectRulesReview",
    }
)


def answer(
    resource: Resource,
    namespace: str,
    obj: Json,
    user: User,
    authenticator: Authenticator,
    authorizer: Authorizer,
) -> Json:
    """The review with its status.

    Raises: Refused 422 for a review that asks nothing.
    """
    spec: Json = obj.get("spec") or {}
    metadata: Json = {"creationTimestamp": None, **(obj.get("metadata") or {})}
    head = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    match resource.kind:
        case "SelfSubjectReview":
            return {**head, "status": {"userInfo": user.info()}}
        case "TokenReview":
            return {**head, "spec": spec, "status": _token(spec, authenticator)}
        case "SelfSubjectRulesReview":
            return {**head, "spec": {}, "status": _rules(authorizer, user, spec.get("namespace", ""))}
        case "SelfSubjectAccessReview":
            asker = user
        case _:
            asker = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
    if resource.kind == "LocalSubjectAccessReview":
        attributes = spec.get("resourceAttributes") or {}
        if attributes.get("namespace", "") != namespace:
            why = f"must match metadata.namespace: {namespace}"
            field = "spec.resourceAttributes.namespace"
            raise refusals.invalid(resource, "", [Cause(field, "FieldValueInvalid", f"Invalid value: {why}")])
    allowed = authorizer.allows(asker, _attributes(resource, spec))
    return {**head, "spec": spec, "status": {"allowed": allowed}}


def _attributes(resource: Resource, spec: Json) -> Attributes:
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (asked is None) == (path is None):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = Cause("spec.resourceAttributes", "FieldValueInvalid", f"Invalid value: {why}")
        raise refusals.invalid(resource, "", [cause])
    if asked is None:
        assert path is not None
        return Attributes(path.get("verb", ""), path=path.get("path", ""))
    return Attributes(
        asked.get("verb", ""),
        group=asked.get("group", ""),
        version=asked.get("version", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
    )


def _token(spec: Json, authenticator: Authenticator) -> Json:
    audiences: Sequence[str] = spec.get("audiences") or (ISSUER,)
    try:
        verified = authenticator.verified(spec.get("token", ""), audiences)
    except BadToken as error:
        return {"user": {}, "error": f"[invalid bearer token, {error}]"}
    return {
        "authenticated": True,
        "user": verified.user.info(),
        "audiences": list(verified.audiences),
    }


def _rules(authorizer: Authorizer, user: User, namespace: str) -> Json:
    rules = authorizer.rules(user, namespace)
    return {
        "resourceRules": [_resource_rule(rule) for rule in rules if rule.get("resources")],
        "nonResourceRules": [
            {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
            for rule in rules
            if rule.get("nonResourceURLs")
        ],
        "incomplete": False,
    }


def _resource_rule(rule: Json) -> Json:
    names = ("verbs", "apiGroups", "resources", "resourceNames")
    return {name: rule[name] for name in names if rule.get(name)}
