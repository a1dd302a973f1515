"""A certificate from a signing request, an identity and a policy (pure: time and serial are arguments).

What a request says about itself is never believed: only its public key is taken, after its signature proved
that the caller holds the private key. Names come from the authenticated identity alone.

Source: Istio, issued workload certificates; SPIFFE X.509-SVID.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

SKEW = timedelta(minutes=2)  # how far clocks in the cluster may disagree
SMALLEST_RSA = 2048
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class Refused(ValueError):
    """The request asks for what the policy does not give; the message may be told to the caller."""


class Policy(Struct, frozen=True):
    """What the authority gives."""

    default_seconds: int = 24 * 3600
    longest_seconds: int = 90 * 24 * 3600


class Signer(Struct, frozen=True):
    """A signing certificate with its key.

    `chain` are the certificates between leaf and root (the signing certificate first, unless it is a root);
    `roots` is the PEM bundle that verifies it, old roots included while they are still trusted.
    """

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[str, ...]
    roots: str


def issue(
    request: bytes,
    identity: str,
    *,
    signer: Signer,
    policy: Policy,
    seconds: int,
    now: datetime,
    serial: int,
) -> str:
    """The PEM certificate for the key in a PEM signing request, naming exactly `identity`.

    `identity` is a SPIFFE ID. `seconds` is the lifetime asked for; 0 or less means the policy's default.
    The lifetime ends no later than the signing certificate's own.

    Raises:
        Refused: the request is malformed, not signed by its key, or its key or lifetime is not allowed.
    """
    key = _proven_key(request)
    if seconds > policy.longest_seconds:
        raise Refused(
            f"a lifetime of {seconds} s was asked for; at most {policy.longest_seconds} s are given"
        )
    lifetime = timedelta(seconds=seconds if seconds > 0 else policy.default_seconds)
    name = x509.UniformResourceIdentifier(identity)
    return sign_leaf(key, (name,), signer=signer, lifetime=lifetime, now=now, serial=serial)


def sign_leaf(
    key: PublicKey,
    names: tuple[x509.GeneralName, ...],
    *,
    signer: Signer,
    lifetime: timedelta,
    now: datetime,
    serial: int,
) -> str:
    """A PEM leaf certificate for server and client use, with these names and no subject.

    Raises:
        Refused: the signing certificate has expired.
    """
    until = min(now + lifetime, signer.certificate.not_valid_after_utc)
    if until <= now:
        raise Refused("the signing certificate has expired; replace the authority's certificate")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(signer.certificate.subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(leaf=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(_authority(signer), critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    return pem(certificate)


def self_signed(
    key: PrivateKey, organization: str, *, lifetime: timedelta, now: datetime, serial: int
) -> x509.Certificate:
    """A root certificate for `key`; the subject is `O=<organization>` only, as Istio's."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(leaf=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def pem(certificate: x509.Certificate) -> str:
    """The certificate as PEM text that ends with a newline."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def pem_key(key: PrivateKey) -> str:
    """The private key as PEM, in the traditional form that Istio reads (`EC` or `RSA PRIVATE KEY`)."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _proven_key(request: bytes) -> PublicKey:
    """The public key of a request whose signature is good and whose key is strong enough."""
    try:
        parsed = x509.load_pem_x509_csr(request)
        proven = parsed.is_signature_valid
        key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise Refused(f"not a certificate signing request in PEM: {error}") from error
    if not proven:
        raise Refused("the signing request is not signed by the key that it carries")
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < SMALLEST_RSA:
            raise Refused(f"an RSA key needs {SMALLEST_RSA} bits or more, this one has {key.key_size}")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key
    raise Refused("the key is neither ECDSA nor RSA")


def _authority(signer: Signer) -> x509.AuthorityKeyIdentifier:
    try:
        held = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(held.value)


def _usage(*, leaf: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=leaf,
        content_commitment=False,
        key_encipherment=leaf,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not leaf,
        crl_sign=not leaf,
        encipher_only=False,
        decipher_only=False,
    )
