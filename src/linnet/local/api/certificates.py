"""The cluster's certificates: its CA, the server's, and one client certificate for every part."""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

_YEARS = 10
_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


class Subject(Struct, frozen=True):
    """Whom a certificate names: file stem, common name, groups, and what it serves."""

    stem: str
    name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # DNS names and IP addresses; none: a client certificate


def subjects(node: str, node_address: str, service_address: str) -> tuple[Subject, ...]:
    """Everybody who gets a certificate when the cluster is made."""
    api = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    hosts = (*api, "kubernetes.default.svc.cluster.local", "localhost", node, "127.0.0.1", service_address)
    return (
        Subject("apiserver", "kube-apiserver", hosts=hosts),
        Subject("admin", "kubernetes-admin", ("kubeadm:cluster-admins", "system:masters")),
        Subject("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
        Subject("controller-manager", "system:kube-controller-manager"),
        Subject("scheduler", "system:kube-scheduler"),
        Subject("kubelet", f"system:node:{node}", ("system:nodes",)),
        Subject(
            "kubelet-serving", f"system:node:{node}", ("system:nodes",), (node, node_address, "127.0.0.1")
        ),
    )


@dataclass(slots=True)
class Pki:
    """A directory of certificates: `ca.crt`, `<stem>.crt`, `<stem>.key`, `sa.key`."""

    directory: Path

    def ensure(self, wanted: Sequence[Subject]) -> None:
        """Make what is missing; files are readable by their owner alone.

        A CA that exists is kept for ever, so that kubeconfigs of users stay good.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.path("ca.key").exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("kubernetes", ())
            certificate = _build(name, name, key.public_key(), key, authority=True)
            self._write("ca.crt", _pem(certificate))
            self._write("ca.key", _private(key))
        if not self.path("sa.key").exists():
            self._write("sa.key", _private(ec.generate_private_key(ec.SECP256R1())))
        for subject in wanted:
            if not self._good(subject):
                self._issue(subject)

    def path(self, name: str) -> Path:
        return self.directory / name

    def text(self, name: str) -> str:
        return self.path(name).read_text()

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        """A private key of this directory."""
        loaded = serialization.load_pem_private_key(self.path(name).read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey), "all keys here are elliptic"
        return loaded

    def _good(self, subject: Subject) -> bool:
        """Whether the certificate exists, lasts for another month and names the same."""
        path = self.path(f"{subject.stem}.crt")
        if not path.exists():
            return False
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        if certificate.not_valid_after_utc < datetime.now(UTC) + timedelta(days=30):
            return False
        if certificate.subject != _name(subject.name, subject.groups):
            return False
        if not subject.hosts:
            return True
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(names) == set(_alternatives(subject.hosts))

    def _issue(self, subject: Subject) -> None:
        ca = x509.load_pem_x509_certificate(self.path("ca.crt").read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(subject.name, subject.groups)
        signer = self.key("ca.key")
        certificate = _build(ca.subject, name, key.public_key(), signer, hosts=subject.hosts)
        self._write(f"{subject.stem}.key", _private(key))
        self._write(f"{subject.stem}.crt", _pem(certificate))

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file at once, so that a crash leaves the old one or the new one."""
        fresh = self.path(f".{name}.new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path(name))


def _build(
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
    hosts: Sequence[str] = (),
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(_usage(authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not authority:
        purpose = x509.ExtendedKeyUsage([_SERVER if hosts else _CLIENT])
        builder = builder.add_extension(purpose, critical=False)
    if hosts:
        names = x509.SubjectAlternativeName(_alternatives(hosts))
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(hosts: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            found.append(x509.DNSName(host))
    return found


def _name(common: str, groups: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
