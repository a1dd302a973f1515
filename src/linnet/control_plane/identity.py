"""Who calls: from the client certificate that TLS verified, or from a service account token.

The same answer serves xDS and the CA. What a proxy says about itself counts only as far as it fits.

Source: Istio, authentication of xDS and CA callers; Kubernetes, TokenReview.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from linnet.kube.client import Client
from linnet.kube.kinds import TOKEN_REVIEW

AUDIENCE = "istio-ca"
_POD = "authentication.kubernetes.io/pod-name"


class Unauthenticated(Exception):
    """The caller has not proven who it is; the message says why, for the log and for the caller."""


class Identity(Struct, frozen=True):
    """A proven workload identity."""

    trust_domain: str
    namespace: str
    service_account: str
    pod: str = ""
    """The pod that the token was issued to; empty where that is not known (certificates)."""

    @property
    def spiffe(self) -> str:
        """`spiffe://<trust domain>/ns/<namespace>/sa/<service account>`."""
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


def from_spiffe(uri: str) -> Identity | None:
    """The identity in a SPIFFE ID of Istio's form; None for any other URI."""
    domain, _, path = uri.removeprefix("spiffe://").partition("/")
    match path.split("/"):
        case ["ns", namespace, "sa", account] if (
            uri.startswith("spiffe://") and domain and namespace and account
        ):
            return Identity(domain, namespace, account)
        case _:
            return None


def from_certificate(names: tuple[str, ...], trust_domains: frozenset[str]) -> Identity:
    """The identity of a verified client certificate by its URI names.

    Raises:
        Unauthenticated: it does not carry exactly one SPIFFE ID of a trust domain of this mesh.
    """
    if len(names) != 1:
        raise Unauthenticated(f"the client certificate carries {len(names)} URI names, not one")
    identity = from_spiffe(names[0])
    if identity is None or identity.trust_domain not in trust_domains:
        raise Unauthenticated(f"the client certificate is for {names[0]}, which is not of this mesh")
    return identity


async def from_token(client: Client, token: str, trust_domain: str) -> Identity:
    """The identity of a service account token with audience `istio-ca`, as the API server says.

    Raises:
        Unauthenticated: the token is not good for us.
        OSError: the API server could not be asked.
    """
    review = {
        "apiVersion": TOKEN_REVIEW.api_version,
        "kind": TOKEN_REVIEW.name,
        "metadata": {},
        "spec": {"token": token, "audiences": [AUDIENCE]},
    }
    answer = await client.create(TOKEN_REVIEW, review)
    return _reviewed(answer.get("status") or {}, trust_domain)


def _reviewed(status: Mapping[str, Any], trust_domain: str) -> Identity:
    if not status.get("authenticated"):
        raise Unauthenticated(f"the token is not valid: {status.get('error') or 'no reason given'}")
    if AUDIENCE not in (status.get("audiences") or ()):
        # an API server that ignores audiences would let tokens for others through
        raise Unauthenticated(f"the token is not for the audience {AUDIENCE}")
    user = status.get("user") or {}
    match str(user.get("username", "")).split(":"):
        case ["system", "serviceaccount", namespace, account]:
            pods = (user.get("extra") or {}).get(_POD) or [""]
            return Identity(trust_domain, namespace, account, str(pods[0]))
        case _:
            raise Unauthenticated(f"the token is of {user.get('username')!r}, which is no service account")


def mismatch(identity: Identity, *, namespace: str, service_account: str, pod: str) -> str:
    """Why a claim does not fit a proven identity; empty if it fits. Empty claims claim nothing."""
    for what, claimed, proven in (
        ("namespace", namespace, identity.namespace),
        ("service account", service_account, identity.service_account),
        ("pod", pod, identity.pod),
    ):
        if claimed and proven and claimed != proven:
            return f"it claims the {what} {claimed!r} but is {identity.spiffe}" + (
                f" in pod {identity.pod!r}" if what == "pod" else ""
            )
    return ""
