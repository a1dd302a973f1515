"""Who makes a request: client certificate, service account token, or nobody; and whom they impersonate."""

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from multidict import CIMultiDictProxy

from linnet.local.api.cluster import Cluster
from linnet.local.api.rbac import Attributes, Authorizer
from linnet.local.api.refusals import Refused
from linnet.local.api.tokens import ISSUER, BadToken, Signer
from linnet.local.api.users import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    service_account_groups,
)

Json = dict[str, Any]
Certificate = Mapping[str, Any]

_SOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."  # noqa: S105
_BOUND = {"pod": "pods", "secret": "secrets", "node": "nodes"}


class Verified(Struct, frozen=True):
    """A token that holds: its user and the audiences that it was checked for."""

    user: User
    audiences: tuple[str, ...]


@dataclass(slots=True)
class Authenticator:
    """Knows the cluster's CA only through TLS: a peer certificate has been verified already."""

    cluster: Cluster
    signer: Signer
    authorizer: Authorizer

    def user(self, headers: CIMultiDictProxy[str], certificate: Certificate | None) -> User:
        """The user of a request.

        Raises: Refused 401 for a bad token, 403 for forbidden impersonation.
        """
        return self._impersonated(self._authenticated(headers, certificate), headers)

    def verified(self, token: str, audiences: Sequence[str]) -> Verified:
        """The user of a service account token that is meant for one of the audiences.

        Raises: BadToken.
        """
        claims = self.signer.claims(token, now=time.time())
        common = tuple(one for one in audiences if one in claims["aud"])
        if not common:
            raise BadToken("token audiences do not match the expected ones")
        details = claims["kubernetes.io"]
        namespace, account = details["namespace"], details["serviceaccount"]
        self._check_exists("serviceaccounts", namespace, account)
        extra: dict[str, tuple[str, ...]] = {
            "authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)
        }
        for kind, plural in _BOUND.items():
            if kind in details:
                if kind != "node":
                    self._check_exists(plural, namespace, details[kind])
                for part in ("name", "uid"):
                    if kind != "secret" and details[kind].get(part):
                        extra[f"authentication.kubernetes.io/{kind}-{part}"] = (details[kind][part],)
        groups = (*service_account_groups(namespace), AUTHENTICATED)
        return Verified(User(claims["sub"], groups, account["uid"], extra), common)

    def _check_exists(self, plural: str, namespace: str, named: Json) -> None:
        """A token dies with what it is bound to."""
        found = self.cluster.find(plural, namespace, named["name"])
        if found is None or found["metadata"]["uid"] != named["uid"]:
            raise BadToken(f"the token is bound to {plural} {named['name']}, which is gone")

    def _authenticated(self, headers: CIMultiDictProxy[str], certificate: Certificate | None) -> User:
        token = _bearer(headers)
        if token:
            try:
                return self.verified(token, (ISSUER,)).user
            except BadToken as error:
                raise Refused(401, "Unauthorized", "Unauthorized") from error
        if certificate:
            return _certified(certificate)
        return ANONYMOUS

    def _impersonated(self, user: User, headers: CIMultiDictProxy[str]) -> User:
        """Whom the user wants to be, if they may."""
        name = headers.get("Impersonate-User", "")
        groups = tuple(headers.getall("Impersonate-Group", ()))
        uid = headers.get("Impersonate-Uid", "")
        if not name:
            if groups or uid:
                raise Refused(400, "BadRequest", "requested impersonation of a group without a user")
            return user
        account = name.removeprefix("system:serviceaccount:").split(":")
        if name.startswith("system:serviceaccount:") and len(account) == 2:  # namespace, name
            self._check_impersonation(user, "serviceaccounts", account[1], account[0])
            groups = groups or service_account_groups(account[0])
        else:
            self._check_impersonation(user, "users", name)
        for group in headers.getall("Impersonate-Group", ()):
            self._check_impersonation(user, "groups", group)
        if uid:
            self._check_impersonation(user, "uids", uid, group="authentication.k8s.io")
        implied = UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED
        return User(name, tuple(dict.fromkeys((*groups, implied))), uid)

    def _check_impersonation(
        self, user: User, resource: str, name: str, namespace: str = "", group: str = ""
    ) -> None:
        wanted = Attributes(
            "impersonate", group=group, resource=resource, name=name, namespace=namespace, version="v1"
        )
        if not self.authorizer.allows(user, wanted):
            raise refused(user, wanted)


def refused(user: User, wanted: Attributes) -> Refused:
    """403 in Kubernetes' words."""
    if not wanted.resource:
        message = f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
        return Refused(403, "Forbidden", message, {})
    full = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    named = f' "{wanted.name}"' if wanted.name else ""
    where = f' in the namespace "{wanted.namespace}"' if wanted.namespace else " at the cluster scope"
    message = (
        f'{qualified}{named} is forbidden: User "{user.name}" cannot {wanted.verb} resource "{full}" '
        f'in API group "{wanted.group}"{where}'
    )
    details: Json = {"kind": wanted.resource}
    if wanted.name:
        details["name"] = wanted.name
    if wanted.group:
        details["group"] = wanted.group
    return Refused(403, "Forbidden", message, details)


def _bearer(headers: CIMultiDictProxy[str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in headers.get("Sec-WebSocket-Protocol", "").split(","):
        if protocol.strip().startswith(_SOCKET_TOKEN):
            encoded = protocol.strip().removeprefix(_SOCKET_TOKEN)
            try:
                return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise Refused(401, "Unauthorized", "Unauthorized") from error
    return ""


def _certified(certificate: Certificate) -> User:
    """Common name and organizations are user and groups."""
    name, groups = "", []
    for relative in certificate.get("subject", ()):
        for key, value in relative:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return User(name, (*groups, AUTHENTICATED))
