"""Secrets become credentials of gateways: a certificate with its key, a CA.

Source: Istio, gateway credentials: `tls.crt`, `tls.key`, `ca.crt`, or `cert`, `key`, `cacert`.
"""

import base64
import binascii
from collections.abc import Mapping

from linnet.ingest.report import Report
from linnet.model.snapshot import Credential
from linnet.objects.core import Secret

_CERTIFICATE = ("tls.crt", "cert")
_KEY = ("tls.key", "key")
_CA = ("ca.crt", "cacert")


def credential(secret: Secret, report: Report) -> Credential | None:
    """The credential in a Secret; None if it holds none, or one that Envoy would refuse."""
    data = secret.data or {}
    if not any(name in data for name in (*_CERTIFICATE, *_CA)):
        return None
    try:
        certificate, key, ca = (_first(data, names) for names in (_CERTIFICATE, _KEY, _CA))
    except (binascii.Error, ValueError):
        report.invalid("data", "is not base64")
        return None
    fault = _fault(certificate, key, ca)
    if fault:
        report.invalid("data", fault)
        return None
    return Credential(certificate, key, ca)


def usable(credentials: Mapping[tuple[str, str], Credential], namespace: str) -> frozenset[str]:
    """Names of a namespace's credentials that a gateway may present or check callers with."""
    found: set[str] = set()
    for (home, name), held in credentials.items():
        if home == namespace:
            if held.certificate:
                found.add(name)
            if held.ca:
                found |= {name, f"{name.removesuffix('-cacert')}-cacert"}
    return frozenset(found)


def _first(data: dict[str, str], names: tuple[str, ...]) -> bytes:
    return next((base64.b64decode(data[name], validate=True) for name in names if name in data), b"")


def _fault(certificate: bytes, key: bytes, ca: bytes) -> str:
    """What is wrong with the PEM texts; empty for nothing."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        chain = x509.load_pem_x509_certificates(certificate) if certificate else []
        if ca:
            x509.load_pem_x509_certificates(ca)
    except ValueError as fault:
        return f"holds a certificate that cannot be read: {fault}"
    if not certificate:
        return "" if ca else "holds no certificate"
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        return f"holds a key that cannot be read: {fault}"
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    der = serialization.Encoding.DER
    if private.public_key().public_bytes(der, public) != chain[0].public_key().public_bytes(der, public):
        return "holds a key that does not belong to the certificate"
    return ""
