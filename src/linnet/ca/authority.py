"""The signing authority that all revisions share: `cacerts` if the user brought one, else `istio-ca-secret`.

Many istiods may start at once; the API server decides: creating an object that exists fails, replacing one
that changed fails, and whoever fails reads what the other wrote. So there is one root, and nobody waits.

Source: Istio, signing material of istiod: names, keys and type of both secrets.
"""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from linnet.ca.issue import Policy, PrivateKey, Signer, issue, pem, pem_key, self_signed
from linnet.kube.client import Client, Object
from linnet.kube.errors import AlreadyExists, Conflict, NotFound
from linnet.kube.kinds import SECRET

PLUGGED_IN = "cacerts"
SELF_SIGNED = "istio-ca-secret"
ROOT_LIFETIME = timedelta(days=3650)
ROTATE_BEFORE = 0.2  # part of the root's lifetime that is left when a new one is made


class Unusable(ValueError):
    """The secret does not hold a working authority; the message names secret, key and remedy."""


class Authority:
    """The current signer of this istiod; `renew` follows the secret and replaces an old self-signed root."""

    def __init__(self, signer: Signer, *, source: str, policy: Policy, clock: Callable[[], datetime]) -> None:
        self.signer = signer
        self.source = source  # name of the secret
        self.policy = policy
        self._clock = clock

    @property
    def roots(self) -> str:
        """The PEM bundle that verifies everything this authority issued or will issue."""
        return self.signer.roots

    @property
    def chain(self) -> tuple[str, ...]:
        """The PEM certificates that follow a leaf, without the root."""
        return self.signer.chain

    def certify(self, request: bytes, identity: str, *, seconds: int = 0) -> str:
        """The PEM leaf for a signing request. Raises Refused."""
        return issue(
            request,
            identity,
            signer=self.signer,
            policy=self.policy,
            seconds=seconds,
            now=self._clock(),
            serial=x509.random_serial_number(),
        )

    async def renew(self, client: Client, namespace: str) -> bool:
        """Read the secret again; replace a self-signed root that nears its end. Whether the signer changed.

        The new root has the old one's key and name, so certificates of either verify against both.
        Raises OSError, Unusable.
        """
        stored = await client.get(SECRET, self.source, namespace)
        signer = signer_from(stored)
        if self.source == SELF_SIGNED and near_end(signer.certificate, self._clock()):
            root = _renewed(signer, self._clock())
            data = _secret_data(root, signer.key)
            try:
                stored = await client.replace(SECRET, stored | {"data": {**stored["data"], **data}})
            except Conflict:
                stored = await client.get(SECRET, self.source, namespace)
            signer = signer_from(stored)
        changed = (signer.certificate, signer.roots) != (self.signer.certificate, self.signer.roots)
        self.signer = signer
        return changed


async def open_authority(
    client: Client,
    namespace: str,
    *,
    trust_domain: str,
    policy: Policy,
    clock: Callable[[], datetime],
) -> Authority:
    """The authority of the mesh in `namespace`; made if there is none yet.

    Raises:
        OSError: the API server failed.
        Unusable: a secret is there but does not hold a working authority.
    """
    for name in (PLUGGED_IN, SELF_SIGNED):
        try:
            signer = signer_from(await client.get(SECRET, name, namespace))
        except NotFound:
            continue
        return Authority(signer, source=name, policy=policy, clock=clock)
    made = _new_secret(namespace, trust_domain, clock())
    try:
        stored = await client.create(SECRET, made)
    except AlreadyExists:
        stored = await client.get(SECRET, SELF_SIGNED, namespace)
    return Authority(signer_from(stored), source=SELF_SIGNED, policy=policy, clock=clock)


def near_end(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether so little of a root's lifetime is left that it is time for the next."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return end - now <= (end - start) * ROTATE_BEFORE


def signer_from(secret: Object) -> Signer:
    """The signer in a secret of Istio's layout or of type kubernetes.io/tls. Raises Unusable."""
    name = secret["metadata"]["name"]
    data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
    if "tls.crt" in data:
        certificate, key, roots, chain = _parts(name, data, "tls.crt", "tls.key", "ca.crt", "tls.crt")
    else:
        data.setdefault("root-cert.pem", data.get("ca-cert.pem", b""))
        if not data["root-cert.pem"].strip():
            data["root-cert.pem"] = data.get("ca-cert.pem", b"")
        certificate, key, roots, chain = _parts(
            name, data, "ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem"
        )
    own = _certificates(name, "the signing certificate", certificate)[0]
    _check(name, own, signing_key := _key(name, key))
    anchors = _certificates(name, "the roots", roots)
    between = [own, *(_certificates(name, "the chain", chain) if chain.strip() else [])]
    unique = list(dict.fromkeys(pem(certificate) for certificate in between if certificate not in anchors))
    return Signer(own, signing_key, tuple(unique), "".join(pem(anchor) for anchor in anchors))


def _parts(name: str, data: Mapping[str, bytes], *keys: str) -> tuple[bytes, ...]:
    """The entries of a secret; all but the last (the chain) must be there."""
    for key in keys[:-1]:
        if not data.get(key, b"").strip():
            raise Unusable(
                f"secret {name}: {key} is missing; a signing authority needs {', '.join(keys[:-1])}"
            )
    return tuple(data.get(key, b"") for key in keys)


def _certificates(name: str, what: str, text: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise Unusable(f"secret {name}: {what} cannot be read as PEM: {error}") from error


def _key(name: str, text: bytes) -> PrivateKey:
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError) as error:
        raise Unusable(f"secret {name}: the key cannot be read as an unencrypted PEM key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Unusable(f"secret {name}: the key is neither ECDSA nor RSA")
    return key


def _check(name: str, certificate: x509.Certificate, key: PrivateKey) -> None:
    if certificate.public_key() != key.public_key():
        raise Unusable(f"secret {name}: the key does not belong to the signing certificate")
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        constraints = None
    if constraints is None or not constraints.value.ca:
        raise Unusable(f"secret {name}: the certificate may not sign others (it is not a CA)")


def _new_secret(namespace: str, trust_domain: str, now: datetime) -> Object:
    """A self-signed root as Istio stores it, with an ECDSA key: it signs 20 times as fast as RSA."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    root = self_signed(key, trust_domain, lifetime=ROOT_LIFETIME, now=now, serial=serial)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SELF_SIGNED, "namespace": namespace},
        "type": "istio.io/ca-root",
        "data": _secret_data(root, key) | {"cert-chain.pem": "", "key.pem": ""},
    }


def _secret_data(root: x509.Certificate, key: PrivateKey) -> dict[str, Any]:
    certificate = base64.b64encode(pem(root).encode()).decode()
    return {
        "ca-cert.pem": certificate,
        "ca-key.pem": base64.b64encode(pem_key(key).encode()).decode(),
        "root-cert.pem": certificate,
    }


def _renewed(signer: Signer, now: datetime) -> x509.Certificate:
    organization = signer.certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return self_signed(
        signer.key,
        str(organization[0].value) if organization else "cluster.local",
        lifetime=ROOT_LIFETIME,
        now=now,
        serial=x509.random_serial_number(),
    )
