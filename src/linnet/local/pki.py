"""The cluster's keys and certificates: made once, kept in the state directory, renewed before they expire.

ca ─┬─ apiserver (serving)      kubelet (serving)
    └─ admin, controllers, network, node-1, apiserver-client (clients)           sa (signs tokens)
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

_AUTHORITY_DAYS = 3650
_DAYS = 365
_RENEW_BEFORE = timedelta(days=60)
_BACKDATE = timedelta(minutes=5)  # clocks that are set back


class Leaf(Struct, frozen=True):
    """A certificate to have. With `names` it serves, without it is a client's."""

    file: str
    user: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


LEAVES = (
    Leaf(
        "apiserver",
        "kube-apiserver",
        names=(
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            "10.96.0.1",
        ),
    ),
    Leaf("kubelet", "system:node:node-1", ("system:nodes",), ("node-1", "10.244.0.1", "localhost")),
    Leaf("admin", "kubernetes-admin", ("system:masters",)),
    Leaf("controllers", "system:kube-controller-manager", ("system:masters",)),
    Leaf("network", "system:kube-proxy", ("system:masters",)),
    Leaf("node", "system:node:node-1", ("system:nodes",)),
    Leaf("apiserver-client", "kube-apiserver-kubelet-client", ("system:masters",)),
)


def ensure(directory: str) -> None:
    """Make what is missing of the keys and certificates, and renew what expires soon. Raises OSError."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    now = datetime.now(UTC)
    if not os.path.exists(f"{directory}/sa.key"):
        _write(f"{directory}/sa.key", _key_bytes(ec.generate_private_key(ec.SECP256R1())))
    if not _good(f"{directory}/ca", now):
        for leaf in LEAVES:  # they were signed by another
            _remove(f"{directory}/{leaf.file}.crt")
        _make_authority(directory, now)
    for leaf in LEAVES:
        if not _good(f"{directory}/{leaf.file}", now):
            _issue(directory, leaf, now)


def missing(directory: str) -> bool:
    """Whether `ensure` has something to do, as far as the files tell without reading them."""
    files = [f"{leaf.file}.crt" for leaf in LEAVES] + ["ca.crt", "ca.key", "sa.key"]
    try:
        oldest = min(os.stat(f"{directory}/{file}").st_mtime for file in files if file.endswith(".crt"))
    except FileNotFoundError:
        return True
    limit = timedelta(days=_DAYS) - _RENEW_BEFORE
    return datetime.now(UTC).timestamp() - oldest > limit.total_seconds()


def _good(path: str, now: datetime) -> bool:
    try:
        with open(f"{path}.crt", "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
    except (FileNotFoundError, ValueError):
        return False
    return os.path.exists(f"{path}.key") and certificate.not_valid_after_utc - now > _RENEW_BEFORE


def _make_authority(directory: str, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "linnet-local-ca")])
    builder = _builder(name, name, key.public_key(), now, _AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())
    _write(f"{directory}/ca.key", _key_bytes(key))
    _write(f"{directory}/ca.crt", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _issue(directory: str, leaf: Leaf, now: datetime) -> None:
    with open(f"{directory}/ca.key", "rb") as file:
        authority = serialization.load_pem_private_key(file.read(), None)
    assert isinstance(authority, ec.EllipticCurvePrivateKey)
    with open(f"{directory}/ca.crt", "rb") as file:
        issuer = x509.load_pem_x509_certificate(file.read())
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in leaf.groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, leaf.user)])
    builder = _builder(subject, issuer.subject, key.public_key(), now, _DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if leaf.names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    builder = builder.add_extension(above, critical=False)
    if leaf.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(_names(leaf.names)), critical=False)
    certificate = builder.sign(authority, hashes.SHA256())
    _write(f"{directory}/{leaf.file}.key", _key_bytes(key))
    _write(f"{directory}/{leaf.file}.crt", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _BACKDATE).not_valid_after(now + timedelta(days=days))


def _names(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        if name.replace(".", "").isdecimal():
            found.append(x509.IPAddress(ip_address(name)))
        else:
            found.append(x509.DNSName(name))
    return found


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: str, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)
