"""ValidatingAdmissionPolicies: CEL rules that the server itself evaluates.

Parameters (`paramRef`) are not looked up: expressions see `params` as null.
Source: Kubernetes, `apiserver/pkg/admission/plugin/policy/validating`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linnet.local.api.hookmatching import (
    Denied,
    Lookup,
    Review,
    Versions,
    conditions_hold,
    matched_version,
    selects,
    variables,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Json = dict[str, Any]

_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


def check(
    review: Review,
    policies: Iterable[Json],
    bindings: Iterable[Json],
    *,
    lookup: Lookup,
    versions: Versions,
    warn: Callable[[str], None],
) -> None:
    """Returns if no bound policy denies the request. Raises: Denied."""
    by_name = {policy["metadata"]["name"]: policy for policy in policies}
    for binding in bindings:
        spec = binding.get("spec") or {}
        policy = by_name.get(spec.get("policyName", ""))
        if policy is None or not _wanted(policy, spec, review, lookup, versions):
            continue
        for failure in _failures(policy, review, lookup):
            _act(review, policy, binding, failure, warn)


def _wanted(policy: Json, binding: Json, review: Review, lookup: Lookup, versions: Versions) -> bool:
    constraints = (policy.get("spec") or {}).get("matchConstraints") or {}
    more = binding.get("matchResources")
    return (
        _constrained(constraints, review, lookup, versions)
        and (more is None or _constrained(more, review, lookup, versions, open_rules=True))
        and conditions_hold(policy.get("spec") or {}, review)
    )


def _constrained(
    match: Json, review: Review, lookup: Lookup, versions: Versions, *, open_rules: bool = False
) -> bool:
    equivalent = match.get("matchPolicy", "Equivalent") == "Equivalent"
    rules = match.get("resourceRules") or ()
    excluded = match.get("excludeResourceRules") or ()
    if matched_version(review, excluded, equivalent=equivalent, versions=versions) is not None:
        return False
    included = bool(open_rules and not rules)
    included = (
        included or matched_version(review, rules, equivalent=equivalent, versions=versions) is not None
    )
    return included and selects(match, review, lookup)


def _failures(policy: Json, review: Review, lookup: Lookup) -> list[tuple[str, str]]:
    """Reason and message of every validation that does not hold."""
    from linnet.local.api.celengine import CelError, evaluate  # costs 0.13 s of CPU

    spec = policy.get("spec") or {}
    seen: Json = {**variables(review), "params": None, "variables": {}}
    seen["namespaceObject"] = lookup("namespaces", "", review.namespace) if review.namespace else None
    found = []
    for variable in spec.get("variables") or ():
        try:
            seen["variables"][variable["name"]] = evaluate(variable["expression"], seen)
        except CelError:
            continue  # what depends on it fails where it is used
    for validation in spec.get("validations") or ():
        expression = validation["expression"]
        try:
            if evaluate(expression, seen) is True:
                continue
            message = validation.get("message") or f"failed expression: {expression.strip()}"
            if text := validation.get("messageExpression"):
                message = _text(evaluate(text, seen)) or message
        except CelError as error:
            if spec.get("failurePolicy") == "Ignore":
                continue
            message = f"expression '{expression}' resulted in error: {error}"
        found.append((validation.get("reason") or "Invalid", message))
    return found


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _act(
    review: Review, policy: Json, binding: Json, failure: tuple[str, str], warn: Callable[[str], None]
) -> None:
    reason, message = failure
    policy_name, binding_name = policy["metadata"]["name"], binding["metadata"]["name"]
    names = f"ValidatingAdmissionPolicy '{policy_name}' with binding '{binding_name}'"
    actions = (binding.get("spec") or {}).get("validationActions") or ()
    if "Warn" in actions:
        warn(f"Validation failed for {names}: {message}")
    if "Deny" not in actions:
        return
    text = f"{names} denied request: {message}"
    details: Json = {"name": review.name}
    if review.group:
        details["group"] = review.group
    details |= {"kind": review.plural, "causes": [{"message": text}]}
    raise Denied(
        _CODES.get(reason, 422), reason, f'{review.qualified()} "{review.name}" is forbidden: {text}', details
    )
