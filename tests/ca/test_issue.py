"""What a certificate says, and what a request can and cannot make it say."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from linnet.ca.issue import Policy, Refused, Signer, issue, pem, self_signed
from linnet.ca.serving import service_names, serving_certificate

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ME = "spiffe://cluster.local/ns/shop/sa/cart"


def signer(lifetime: timedelta = timedelta(days=3650), now: datetime = NOW) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    root = self_signed(key, "cluster.local", lifetime=lifetime, now=now, serial=1)
    return Signer(root, key, (), pem(root))


def request(key, *, names: tuple[x509.GeneralName, ...] = (), common_name: str = "") -> bytes:
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def issued(csr: bytes, *, by: Signer, seconds: int = 0, policy: Policy | None = None) -> x509.Certificate:
    text = issue(csr, ME, signer=by, policy=policy or Policy(), seconds=seconds, now=NOW, serial=7)
    return x509.load_pem_x509_certificate(text.encode())


def test_names_come_from_the_identity_alone():
    """A request that claims another identity, a host name and to be an authority gets none of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    stolen = (
        x509.UniformResourceIdentifier("spiffe://cluster.local/ns/bank/sa/vault"),
        x509.DNSName("istiod.istio-system.svc"),
    )
    leaf = issued(request(key, names=stolen, common_name="vault"), by=signer())

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [x509.UniformResourceIdentifier(ME)]
    assert names.critical
    assert leaf.subject == x509.Name([])
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert leaf.public_key() == key.public_key()


def test_a_leaf_serves_and_calls_and_is_valid_a_little_before_now():
    """Both usages, clock skew allowed for, the lifetime that was asked for."""
    leaf = issued(request(ec.generate_private_key(ec.SECP256R1())), by=signer(), seconds=3600)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert leaf.not_valid_before_utc == NOW - timedelta(minutes=2)
    assert leaf.not_valid_after_utc == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)], ids=["ec", "rsa"]
)
def test_both_kinds_of_keys_verify_against_the_roots(key):
    """ECDSA and RSA requests are signed, and a verifier with the roots accepts the leaf."""
    by = signer()
    leaf = issued(request(key), by=by)
    store = Store(x509.load_pem_x509_certificates(by.roots.encode()))
    verified = PolicyBuilder().store(store).time(NOW).build_client_verifier().verify(leaf, [])
    assert [name.value for name in verified.subjects or []] == [ME]


def test_no_lifetime_means_the_policys():
    """0 and less ask for the default."""
    csr = request(ec.generate_private_key(ec.SECP256R1()))
    policy = Policy(default_seconds=600, longest_seconds=7200)
    for seconds in (0, -5):
        leaf = issued(csr, by=signer(), seconds=seconds, policy=policy)
        assert leaf.not_valid_after_utc == NOW + timedelta(minutes=10)
    with pytest.raises(Refused, match="7201 s"):
        issued(csr, by=signer(), seconds=7201, policy=policy)


def test_a_leaf_never_outlives_its_signer():
    """The end of the signing certificate is the end of the leaf; an expired one signs nothing."""
    csr = request(ec.generate_private_key(ec.SECP256R1()))
    short = signer(timedelta(hours=2))
    assert issued(csr, by=short).not_valid_after_utc == NOW + timedelta(hours=2)
    with pytest.raises(Refused, match="expired"):
        issued(csr, by=signer(timedelta(hours=1), NOW - timedelta(days=1)))


def test_a_request_must_be_signed_by_its_own_key():
    """A request with somebody else's public key, and other rubbish, is refused."""
    csr = request(ec.generate_private_key(ec.SECP256R1()))
    broken = bytearray(x509.load_pem_x509_csr(csr).public_bytes(serialization.Encoding.DER))
    broken[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(broken)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(Refused, match="not signed by the key"):
        issued(forged, by=signer())
    for rubbish in (b"", b"not a request", csr[:80]):
        with pytest.raises(Refused, match="not a certificate signing request"):
            issued(rubbish, by=signer())


def test_weak_and_odd_keys_are_refused():
    """RSA below 2048 bits and keys that Envoy does not take."""
    with pytest.raises(Refused, match="2048 bits"):
        issued(request(rsa.generate_private_key(65537, 1024)), by=signer())
    with pytest.raises(Refused, match="neither ECDSA nor RSA"):
        issued(request(ed25519.Ed25519PrivateKey.generate()), by=signer())


def test_istiod_serves_under_its_revisions_name():
    """The serving certificate carries the revision's own name and those of the default."""
    assert service_names("canary", "istio-system")[0] == "istiod-canary.istio-system.svc"
    assert service_names("default", "mesh")[0] == "istiod.mesh.svc"
    serving = serving_certificate(signer(), service_names("canary", "istio-system"), NOW)
    leaf = x509.load_pem_x509_certificate(serving.chain.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "istiod-canary.istio-system.svc" in names.get_values_for_type(x509.DNSName)
