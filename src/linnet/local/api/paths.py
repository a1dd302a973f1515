"""What a request's method and path ask for.

/api/v1/namespaces/<namespace>/<resource>/<name>/<subresource>
/apis/<group>/<version>/…
"""

from collections.abc import Mapping

from msgspec import Struct

# What Go's ParseBool takes for true.
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


class Target(Struct, frozen=True):
    """A request for resources (`resource` set) or for another path."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    too_long: bool = False  # more path than any resource has

    @property
    def for_resource(self) -> bool:
        return bool(self.resource)


def true(text: str) -> bool:
    """Whether a boolean query parameter is on."""
    return text in _TRUE


def target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """Parse a path; never fails, what is not a resource's path is just a path.

    Source: Kubernetes, `RequestInfoFactory`.
    """
    parts = [part for part in path.split("/") if part]
    plain = Target(method.lower(), path)
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return plain
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    else:
        group, version, rest = parts[1], parts[2], parts[3:]
    if not rest:
        return plain
    deprecated_watch = rest[0] == "watch" and len(rest) > 1
    if deprecated_watch:
        rest = rest[1:]
    namespace, rest = _namespace(rest)
    resource, name, subresource = (*rest, "", "", "")[:3]
    watching = deprecated_watch or true(query.get("watch", ""))
    return Target(
        verb=_verb(method, name, watching),
        path=path,
        group=group,
        version=version,
        resource=resource,
        namespace=name if resource == "namespaces" and not namespace and not group else namespace,
        name=name,
        subresource=subresource,
        too_long=len(rest) > 3 and subresource != "proxy",
    )


def _namespace(rest: list[str]) -> tuple[str, list[str]]:
    if rest[0] != "namespaces" or len(rest) < 3 or rest[2] in _NAMESPACE_SUBRESOURCES:
        return "", rest
    return rest[1], rest[2:]


def _verb(method: str, name: str, watching: bool) -> str:
    match method:
        case "GET" | "HEAD":
            return "watch" if watching else "get" if name else "list"
        case "DELETE":
            return "delete" if name else "deletecollection"
        case _:
            return _VERBS.get(method, method.lower())
