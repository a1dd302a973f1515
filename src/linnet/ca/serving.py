"""The certificate with which istiod itself serves (xDS, CA, webhooks), from its own authority.

Source: Istio, DNS names of istiod's certificate.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from linnet.ca.issue import Signer, pem_key, sign_leaf

LIFETIME = timedelta(days=365)


class Serving(Struct, frozen=True):
    """PEM: the leaf with the certificates between it and the root, and the private key."""

    chain: str
    key: str
    expires: datetime


def service_names(revision: str, namespace: str) -> tuple[str, ...]:
    """The DNS names of a revision's istiod. The revision `default` is the one without a suffix.

    A proxy is sent to a revision by name, and no named revision may pose as another.
    The names without a suffix belong to whoever is the default at the time, so every istiod has them too.
    """
    own = "istiod" if revision in ("", "default") else f"istiod-{revision}"
    shared = (f"istiod.{namespace}.svc", f"istiod-remote.{namespace}.svc", f"istio-pilot.{namespace}.svc")
    return tuple(dict.fromkeys((f"{own}.{namespace}.svc", *shared)))


def serving_certificate(signer: Signer, names: tuple[str, ...], now: datetime) -> Serving:
    """A fresh key with a certificate for DNS `names`."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = sign_leaf(
        key.public_key(),
        tuple(x509.DNSName(name) for name in names),
        signer=signer,
        lifetime=LIFETIME,
        now=now,
        serial=x509.random_serial_number(),
    )
    expires = min(now + LIFETIME, signer.certificate.not_valid_after_utc)
    return Serving("".join((leaf, *signer.chain)), pem_key(key), expires)
