"""Whose root it is: the user's, the one that is there, or one that is made once."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from linnet.ca.authority import Authority, Unusable, open_authority, signer_from
from linnet.ca.issue import Policy, pem, pem_key, self_signed
from linnet.kube.errors import AlreadyExists, Conflict, NotFound

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


class Secrets:
    """A scripted API server that holds secrets, with versions and conflicts."""

    def __init__(self) -> None:
        self.held: dict[str, dict] = {}
        self.writes = 0
        self.before_create = lambda: None

    async def get(self, kind, name, namespace=""):
        if name not in self.held:
            raise NotFound(404, "NotFound", name)
        return self.held[name]

    async def create(self, kind, obj):
        self.before_create()
        name = obj["metadata"]["name"]
        if name in self.held:
            raise AlreadyExists(409, "AlreadyExists", name)
        return self.put(obj)

    async def replace(self, kind, obj):
        if (
            obj["metadata"]["resourceVersion"]
            != self.held[obj["metadata"]["name"]]["metadata"]["resourceVersion"]
        ):
            raise Conflict(409, "Conflict", "changed")
        return self.put(obj)

    def put(self, obj):
        self.writes += 1
        name = obj["metadata"]["name"]
        self.held[name] = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.writes)}}
        return self.held[name]


async def opened(secrets: Secrets, now: datetime = NOW) -> Authority:
    return await open_authority(
        secrets, "istio-system", trust_domain="cluster.local", policy=Policy(), clock=lambda: now
    )


def encoded(**data: str) -> dict[str, str]:
    return {name.replace("_", "."): base64.b64encode(text.encode()).decode() for name, text in data.items()}


def plugged_in(*, lifetime: timedelta = YEAR, certificate_key=None) -> dict:
    """An intermediate below a root that the user keeps elsewhere, in Istio's layout."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = self_signed(root_key, "offline", lifetime=lifetime, now=NOW, serial=1)
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "issuing")])
    from cryptography.hazmat.primitives import hashes

    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.subject)
        .public_key((certificate_key or key).public_key())
        .serial_number(2)
        .not_valid_before(NOW)
        .not_valid_after(NOW + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    data = {"ca-cert.pem": pem(own), "ca-key.pem": pem_key(key), "root-cert.pem": pem(root)}
    data["cert-chain.pem"] = pem(own) + pem(root)
    return {
        "metadata": {"name": "cacerts", "namespace": "istio-system"},
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }


async def test_the_first_istiod_makes_the_root_and_the_second_uses_it():
    """Two revisions, one root; the second writes nothing."""
    secrets = Secrets()
    first = await opened(secrets)
    second = await opened(secrets)
    assert secrets.held["istio-ca-secret"]["type"] == "istio.io/ca-root"
    assert secrets.writes == 1
    assert first.roots == second.roots
    assert first.chain == ()


async def test_who_comes_second_in_a_race_takes_the_others_root():
    """Both find nothing; one creates; the other's create fails and it reads what is there."""
    secrets, other = Secrets(), Secrets()
    winner = await opened(other)
    secrets.before_create = lambda: secrets.held.update(other.held)
    loser = await opened(secrets)
    assert loser.roots == winner.roots


async def test_a_plugged_in_authority_wins_and_shows_its_chain():
    """`cacerts` goes before `istio-ca-secret`; the intermediate goes with every leaf, the root does not."""
    secrets = Secrets()
    await opened(secrets)
    secrets.put(plugged_in())
    authority = await opened(secrets)
    assert authority.source == "cacerts"
    assert [x509.load_pem_x509_certificate(c.encode()).subject.rfc4514_string() for c in authority.chain] == [
        "O=issuing"
    ]
    assert x509.load_pem_x509_certificate(authority.roots.encode()).subject.rfc4514_string() == "O=offline"


def test_a_kubernetes_tls_secret_is_an_authority_too():
    """cert-manager's layout: tls.crt, tls.key, ca.crt."""
    data = plugged_in()["data"]
    names = {"tls.crt": "ca-cert.pem", "tls.key": "ca-key.pem", "ca.crt": "root-cert.pem"}
    signer = signer_from(
        {"metadata": {"name": "cacerts"}, "data": {new: data[old] for new, old in names.items()}}
    )
    assert len(signer.chain) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ca-key.pem": ""}, "ca-key.pem is missing"),
        ({"ca-key.pem": base64.b64encode(b"rubbish").decode()}, "key cannot be read"),
        ({"ca-cert.pem": base64.b64encode(b"rubbish").decode()}, "certificate cannot be read"),
        ({"ca-key.pem": encoded(k=pem_key(ec.generate_private_key(ec.SECP256R1())))["k"]}, "does not belong"),
    ],
    ids=["incomplete", "no-key", "no-certificate", "other-key"],
)
async def test_a_broken_authority_is_named_and_never_replaced(change, said):
    """A user's secret that does not work stops us; we do not quietly make a root of our own."""
    secrets, broken = Secrets(), plugged_in()
    broken["data"] = broken["data"] | change
    secrets.put(broken)
    with pytest.raises(Unusable, match=f"secret cacerts.*{said}"):
        await opened(secrets)
    assert list(secrets.held) == ["cacerts"]


def test_a_leaf_certificate_is_no_authority():
    """A certificate that may not sign is refused at once, not at the first request."""
    from linnet.ca.serving import serving_certificate

    broken = plugged_in()
    leaf = serving_certificate(signer_from(plugged_in()), ("a.example",), NOW)
    broken["data"] = broken["data"] | encoded(ca_x=leaf.chain, ca_y=leaf.key)
    broken["data"]["ca-cert.pem"] = broken["data"].pop("ca.x")
    broken["data"]["ca-key.pem"] = broken["data"].pop("ca.y")
    with pytest.raises(Unusable, match="may not sign"):
        signer_from(broken)


async def test_an_old_root_is_renewed_with_its_own_key():
    """With a fifth of the lifetime left there is a new root; leaves of the old one verify against it."""
    secrets = Secrets()
    authority = await opened(secrets, NOW)
    old = authority.signer
    assert not await authority.renew(secrets, "istio-system")
    assert secrets.writes == 1

    late = Authority(old, source=authority.source, policy=Policy(), clock=lambda: NOW + 8.5 * YEAR)
    assert await late.renew(secrets, "istio-system")
    assert secrets.writes == 2
    assert late.signer.certificate.not_valid_after_utc > old.certificate.not_valid_after_utc
    assert late.signer.certificate.public_key() == old.certificate.public_key()
    assert late.signer.certificate.subject == old.certificate.subject

    assert await authority.renew(secrets, "istio-system"), "the other istiod follows"
    assert secrets.writes == 2
    assert authority.roots == late.roots


async def test_two_that_renew_at_once_agree():
    """The second replace conflicts; it reads what the first wrote."""
    secrets = Secrets()
    first = await opened(secrets)

    class Late(Secrets):
        async def replace(self, kind, obj):
            current = self.held["istio-ca-secret"]
            self.held["istio-ca-secret"] = current | {
                "metadata": current["metadata"] | {"resourceVersion": "99"}
            }
            raise Conflict(409, "Conflict", "changed")

    racing = Late()
    racing.held = dict(secrets.held)
    late = Authority(first.signer, source=first.source, policy=Policy(), clock=lambda: NOW + 9 * YEAR)
    assert not await late.renew(racing, "istio-system")
