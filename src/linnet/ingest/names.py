"""Names as users write them, made whole: hosts, gateways, exports, the order of claims."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol


class _Claim(Protocol):
    @property
    def created(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...


def order(claim: _Claim) -> tuple[float, str, str]:
    """The key by which claims are sorted: the older one wins, then namespace and name decide."""
    return (_instant(claim.created), claim.namespace, claim.name)


def _instant(created: str) -> float:
    """Seconds since 1970; an object without a time is as old as can be."""
    try:
        return datetime.fromisoformat(created).timestamp() if created else 0.0
    except ValueError:
        return 0.0


def service_host(name: str, namespace: str, domain: str) -> str:
    """``<name>.<namespace>.svc.<domain>``."""
    return f"{name}.{namespace}.svc.{domain}"


def full_host(host: str, namespace: str, domain: str) -> str:
    """A host, expanded with the namespace of the object that names it if it has no dot."""
    if "." in host or host == "*":
        return host.lower()
    return service_host(host.lower(), namespace, domain)


def full_gateway(name: str, namespace: str) -> str:
    """``<namespace>/<name>``, or `mesh` for all sidecars."""
    if name == "mesh":
        return name
    if "/" in name:
        before, _, after = name.partition("/")
        return f"{namespace if before == '.' else before}/{after}"
    return f"{namespace}/{name}"


def exports(values: Iterable[str], namespace: str) -> frozenset[str]:
    """The namespaces that may see an object; `*` for all, nothing for none.

    Source: Istio, `exportTo`.
    """
    given = frozenset(values)
    if not given:
        return frozenset({"*"})
    return frozenset(namespace if value == "." else value for value in given if value != "~")


def host_matches(pattern: str, host: str) -> bool:
    """Whether a host is the pattern, or falls under `*` or `*.suffix`."""
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return pattern == host


def spiffe(trust_domain: str, namespace: str, account: str) -> str:
    """The SPIFFE ID of a service account."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{account or 'default'}"
