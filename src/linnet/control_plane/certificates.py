"""The certificate authority of this istiod, and the certificate with which it serves."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from linnet.ca.authority import Authority, open_authority
from linnet.ca.issue import Policy
from linnet.ca.serving import Serving, service_names, serving_certificate
from linnet.control_plane.istiod import Istiod

RENEW = timedelta(days=30)  # so long before its end the serving certificate is replaced
LOOK = 3600.0  # seconds between looks at it
RETRY = 1.0

log = structlog.get_logger(__name__)


async def authority_of(istiod: Istiod, trust_domain: str) -> Authority:
    """The authority that all revisions share; waits until the API server lets us have it."""
    settings = istiod.settings
    policy = Policy(int(settings.default_ttl), int(settings.max_ttl))
    while True:
        try:
            return await open_authority(
                istiod.client,
                settings.namespace,
                trust_domain=trust_domain,
                policy=policy,
                clock=lambda: datetime.now(UTC),
            )
        except OSError as error:
            log.warning("authority-not-available", error=str(error))
            await asyncio.sleep(RETRY)


def renew_serving(istiod: Istiod, authority: Authority) -> Serving:
    """Serve new connections with a fresh certificate of the authority as it is now."""
    settings = istiod.settings
    names = (*service_names(settings.revision, settings.namespace), *settings.custom_hosts)
    certificate = serving_certificate(authority.signer, names, datetime.now(UTC))
    istiod.contexts.load(certificate.chain, certificate.key, authority.roots)
    log.info("serving-certificate", names=names, expires=certificate.expires.isoformat())
    return certificate


async def renew_in_time(istiod: Istiod, authority: Authority, certificate: Serving) -> None:
    """Replace the serving certificate long before its end, for ever."""
    while True:
        await asyncio.sleep(LOOK)
        if certificate.expires - datetime.now(UTC) < RENEW:
            certificate = renew_serving(istiod, authority)
