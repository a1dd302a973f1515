"""What Kubernetes refuses in webhook configurations.

Source: Kubernetes, `pkg/apis/admissionregistration/validation`; order and texts observed with 1.35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from linnet.local.api import metachecks, names
from linnet.local.api.causes import Cause, duplicate, invalid, not_supported, required

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

_URL_FORM = "desired format: https://host[/path]"
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REVIEWS = ("v1", "v1beta1")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_LEAST_SECONDS, _MOST_SECONDS = 1, 30


def webhooks(obj: Json, _old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in a MutatingWebhookConfiguration or ValidatingWebhookConfiguration."""
    found: list[Cause] = []
    seen: set[str] = set()
    for at, hook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{at}]"
        name = hook.get("name") or ""
        if name in seen:
            found.append(duplicate(f"{path}.name", name))
        seen.add(name)
        found += _name(name, f"{path}.name")
        found += _hook(hook, path)
    return found


def _name(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    found = [invalid(path, name, why) for why in names.dns_subdomain(name)]
    if len(name.split(".")) < 3:
        found.append(invalid(path, name, "should be a domain with at least three segments separated by dots"))
    return found


def _hook(hook: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    for at, rule in enumerate(hook.get("rules") or ()):
        found += _rule(rule, f"{path}.rules[{at}]")
    if hook.get("failurePolicy") not in ("Fail", "Ignore", None):
        found.append(not_supported(f"{path}.failurePolicy", hook["failurePolicy"], ("Fail", "Ignore")))
    if hook.get("matchPolicy") not in ("Equivalent", "Exact", None):
        found.append(not_supported(f"{path}.matchPolicy", hook["matchPolicy"], ("Equivalent", "Exact")))
    effects = hook.get("sideEffects")
    if effects is None:
        found.append(required(f"{path}.sideEffects", f"must specify one of {', '.join(_SIDE_EFFECTS)}"))
    elif effects not in _SIDE_EFFECTS:
        found.append(not_supported(f"{path}.sideEffects", effects, _SIDE_EFFECTS))
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        why = f"the timeout value must be between {_LEAST_SECONDS} and {_MOST_SECONDS} seconds"
        found.append(invalid(f"{path}.timeoutSeconds", seconds, why))
    found += metachecks.selector(hook.get("namespaceSelector"), f"{path}.namespaceSelector")
    found += metachecks.selector(hook.get("objectSelector"), f"{path}.objectSelector")
    found += _client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    if hook.get("reinvocationPolicy") not in ("Never", "IfNeeded", None):
        choices = ("IfNeeded", "Never")
        found.append(not_supported(f"{path}.reinvocationPolicy", hook["reinvocationPolicy"], choices))
    found += conditions(hook.get("matchConditions") or (), f"{path}.matchConditions")
    return found + _reviews(hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions")


def _reviews(versions: list[str], path: str) -> list[Cause]:
    known = ", ".join(_REVIEWS)
    if not versions:
        return [required(path, f"must specify one of {known}")]
    if not set(versions) & set(_REVIEWS):
        return [invalid(path, versions, f"must include at least one of {known}")]
    return []


def _rule(rule: Json, path: str) -> list[Cause]:
    found: list[Cause] = []
    for field in ("operations", "apiGroups", "apiVersions", "resources"):
        values = rule.get(field) or []
        if not values:
            found.append(required(f"{path}.{field}"))
        elif "*" in values and len(values) > 1 and field != "resources":
            why = "if '*' is present, must not specify other " + _plural(field)
            found.append(invalid(f"{path}.{field}", values, why))
    for at, operation in enumerate(rule.get("operations") or ()):
        if operation not in _OPERATIONS:
            found.append(not_supported(f"{path}.operations[{at}]", operation, _OPERATIONS))
    if rule.get("scope") not in ("Cluster", "Namespaced", "*", None):
        found.append(not_supported(f"{path}.scope", rule["scope"], ("*", "Cluster", "Namespaced")))
    return found


def _plural(field: str) -> str:
    return {"apiGroups": "API groups", "apiVersions": "API versions"}.get(field, field)


def _client(client: Json, path: str) -> list[Cause]:
    url: str | None = client.get("url")
    service: Json = client.get("service") or {}
    if (url is None) == (not service):
        return [required(path, "exactly one of url or service is required")]
    if url is not None:
        return _url(url, f"{path}.url")
    found = [required(f"{path}.service.{field}") for field in ("name", "namespace") if not service.get(field)]
    number = service.get("port")
    if number is not None and not 1 <= number <= 65535:
        why = "port is not valid: must be between 1 and 65535, inclusive"
        found.append(invalid(f"{path}.service.port", number, why))
    route = service.get("path")
    if route and not route.startswith("/"):
        found.append(invalid(f"{path}.service.path", route, "must start with a '/'"))
    return found


def _url(url: str, path: str) -> list[Cause]:
    parts = urlsplit(url)
    found: list[Cause] = []
    if parts.scheme != "https":
        why = f"'https' is the only allowed URL scheme; {_URL_FORM}"
        found.append(invalid(path, parts.scheme, why))
    if not parts.netloc:
        found.append(invalid(path, "", f"host must be specified; {_URL_FORM}"))
    if parts.username:
        found.append(invalid(path, parts.username, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def conditions(given: Iterable[Json], path: str) -> list[Cause]:
    """Violations in `matchConditions`: names, and expressions that do not compile."""
    found: list[Cause] = []
    seen: set[str] = set()
    for at, condition in enumerate(given):
        place = f"{path}[{at}]"
        expression = (condition.get("expression") or "").strip()
        if not expression:
            found.append(required(f"{place}.expression"))
        elif problem := _compile_problem(expression):
            found.append(invalid(f"{place}.expression", expression, f"compilation failed: {problem}"))
        name = condition.get("name") or ""
        if not name:
            found.append(required(f"{place}.name"))
        elif name in seen:
            found.append(duplicate(f"{place}.name", name))
        else:
            found += [invalid(f"{place}.name", name, why) for why in names.qualified(name)]
        seen.add(name)
    return found


def _compile_problem(expression: str) -> str:
    from linnet.local.api.celengine import CelError, compiled  # costs 0.13 s of CPU

    try:
        compiled(expression)
    except CelError as error:
        return str(error)
    return ""
