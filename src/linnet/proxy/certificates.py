"""The workload's certificate: a key made here, a signing request, a call to the CA, and so again in time.

The key never leaves this process but to Envoy. The CA is verified by the roots in `istio-ca-root-cert`.
Source: Istio, agent of `IstioCertificateService`: metadata, rotation at half the lifetime with jitter.
"""

import asyncio
import random
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpclib.client import UnaryUnaryMethod
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from msgspec import Struct

from linnet.envoy.messages import IstioCertificateRequest, IstioCertificateResponse
from linnet.proxy.channel import SocketChannel
from linnet.proxy.host import Host
from linnet.proxy.settings import ROOTS_FILE, TOKEN_FILE, Settings

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
CALL_TIMEOUT = 10.0  # seconds
LOOK_AT_ROOTS = 5.0  # seconds between looks at the file with the roots
LONGEST_BACK_OFF = 5.0  # seconds between attempts: a control plane that comes back is found soon


class Unavailable(OSError):
    """No certificate could be had this time; the message says why."""


class Identity(Struct, frozen=True):
    """What proves the workload: PEM chain (leaf first), PEM private key, PEM roots, and until when."""

    chain: str
    key: str
    roots: str
    starts: datetime
    expires: datetime


async def fetch(settings: Settings, host: Host) -> Identity:
    """A fresh key with its certificate from the CA.

    Raises:
        Unavailable: no token, no roots, no CA, or it refused.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        token = Path(host.here(TOKEN_FILE)).read_text().strip()  # noqa: ASYNC240 (a small file in memory)
        trust = ssl.create_default_context(cafile=host.here(ROOTS_FILE))
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(f"token or roots of the CA cannot be read: {error}") from error
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    trust.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(CALL_TIMEOUT):
            answer = await _create(settings, host, trust, token, _request(key, settings.identity))
    except (GRPCError, StreamTerminatedError, ProtocolError, OSError, TimeoutError) as error:
        reason = error.message if isinstance(error, GRPCError) else str(error) or type(error).__name__
        raise Unavailable(f"{settings.ca}: {reason}") from error
    return _identity(list(answer.cert_chain), key)


async def keep_identity(
    settings: Settings,
    host: Host,
    publish: Callable[[Identity], None],
    log: structlog.typing.FilteringBoundLogger,
) -> None:
    """Publish an identity now, a fresh one at half of each one's lifetime, and one when the roots change."""
    failures = 0
    while True:
        try:
            identity = await fetch(settings, host)
        except Unavailable as error:
            failures += 1
            if failures in (1, 5) or failures % 20 == 0:
                log.warning("no-certificate", attempt=failures, error=str(error))
            await asyncio.sleep(back_off(failures))
            continue
        failures = 0
        publish(identity)
        log.info("certificate", identity=settings.identity, expires=identity.expires.isoformat())
        jitter = random.uniform(-0.01, 0.01)  # noqa: S311 (spreads renewals, hides nothing)
        await _due(renewal_delay(identity, datetime.now(UTC), jitter), Path(host.here(ROOTS_FILE)))


def back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(LONGEST_BACK_OFF, 0.1 * 2.0 ** min(failures - 1, 10))


def renewal_delay(identity: Identity, now: datetime, jitter: float) -> float:
    """Seconds until it is time for a new one: when half of the lifetime is over; `jitter` is a part of it."""
    lifetime = (identity.expires - identity.starts).total_seconds()
    due = identity.starts.timestamp() + lifetime * (0.5 + jitter)
    return max(1.0, due - now.timestamp())


async def _due(delay: float, roots: Path) -> None:
    """Return after `delay` seconds, or soon after the roots in the file are others than now."""
    loop = asyncio.get_running_loop()
    end, trusted = loop.time() + delay, _text(roots)
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, LOOK_AT_ROOTS))
        if _text(roots) not in (trusted, ""):
            return


def _text(path: Path) -> str:
    """The content of a file, nothing while it is being replaced."""
    try:
        return path.read_text()
    except OSError:
        return ""


async def _create(
    settings: Settings, host: Host, trust: ssl.SSLContext, token: str, request: IstioCertificateRequest
) -> IstioCertificateResponse:
    addresses = await host.resolve(settings.ca)
    sock = await host.dial(random.choice(addresses), settings.ca_port)  # noqa: S311 (spreads the load)
    channel = SocketChannel(sock, name=settings.ca, tls=trust)
    method = UnaryUnaryMethod[IstioCertificateRequest, IstioCertificateResponse](
        channel, METHOD, IstioCertificateRequest, IstioCertificateResponse
    )
    request.validity_duration = settings.certificate_seconds
    metadata = {
        "authorization": f"Bearer {token}",
        "clusterid": str(settings.metadata.get("CLUSTER_ID", "Kubernetes")),
    }
    try:
        return await method(request, metadata=metadata)
    finally:
        channel.close()


def _request(key: ec.EllipticCurvePrivateKey, identity: str) -> IstioCertificateRequest:
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return IstioCertificateRequest(csr=request.public_bytes(serialization.Encoding.PEM).decode())


def _identity(chain: list[str], key: ec.EllipticCurvePrivateKey) -> Identity:
    """The answer as an identity. Raises Unavailable for one that cannot be used."""
    if len(chain) < 2:
        raise Unavailable("the CA's answer has no root certificate")
    try:
        leaf = x509.load_pem_x509_certificate(chain[0].encode())
    except ValueError as error:
        raise Unavailable(f"the CA's answer is not a certificate: {error}") from error
    if leaf.public_key() != key.public_key():
        raise Unavailable("the CA's certificate is for another key")
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(
        "".join(chain[:-1]), pem.decode(), chain[-1], leaf.not_valid_before_utc, leaf.not_valid_after_utc
    )
