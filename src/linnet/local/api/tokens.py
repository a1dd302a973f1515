"""Tokens of service accounts: JSON web tokens signed with ES256.

Source: RFC 7515, RFC 7518; Kubernetes, claims of bound service account tokens.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

Json = dict[str, Any]

ISSUER = "https://kubernetes.default.svc.cluster.local"
_HALF = 32  # bytes of each half of an ES256 signature


class BadToken(Exception):
    """Not a token of this cluster, or not any more."""


@dataclass(slots=True)
class Signer:
    """Issues and reads tokens with one key."""

    key: ec.EllipticCurvePrivateKey

    @property
    def key_id(self) -> str:
        der = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return _encode(hashlib.sha256(der).digest())

    def issue(
        self,
        *,
        namespace: str,
        account: Json,
        audiences: Sequence[str],
        now: int,
        seconds: int,
        bound: Json | None,
        jti: str,
    ) -> str:
        """A token for a service account, bound to `bound` ({kind, name, uid}) if given; times in seconds."""
        name, uid = account["metadata"]["name"], account["metadata"]["uid"]
        details: Json = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        if bound is not None:
            details[bound["kind"].lower()] = {"name": bound["name"], "uid": bound["uid"]}
            if bound.get("node"):
                details["node"] = bound["node"]
        claims = {
            "aud": list(audiences),
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": jti,
            "kubernetes.io": details,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        head = _encode(json.dumps({"alg": "ES256", "kid": self.key_id}, separators=(",", ":")).encode())
        body = _encode(json.dumps(claims, separators=(",", ":")).encode())
        signed = self.key.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(signed)
        return f"{head}.{body}.{_encode(r.to_bytes(_HALF, 'big') + s.to_bytes(_HALF, 'big'))}"

    def claims(self, token: str, *, now: float) -> Json:
        """What a token says, if the signature and the time are right.

        Raises: BadToken.
        """
        try:
            head, body, signature = token.split(".")
            raw = _decode(signature)
            if len(raw) != 2 * _HALF:
                raise BadToken("the signature has the wrong length")
            r, s = int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big")
            der = utils.encode_dss_signature(r, s)
            self.key.public_key().verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
            claims: Json = json.loads(_decode(body))
        except (ValueError, binascii.Error, InvalidSignature) as error:
            raise BadToken("invalid bearer token") from error
        if not claims.get("nbf", 0) - 60 <= now < claims.get("exp", 0):
            raise BadToken("service account token has expired")
        return claims

    def jwks(self) -> Json:
        """The public key as a key set, for `/openid/v1/jwks`."""
        numbers = self.key.public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": _encode(numbers.x.to_bytes(_HALF, "big")),
            "y": _encode(numbers.y.to_bytes(_HALF, "big")),
        }
        return {"keys": [key]}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
