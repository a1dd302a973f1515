"""Keeps an authority current: follows its secret, renews the root far ahead, tells others what changed."""

import asyncio
import random
from collections.abc import Callable

import structlog

from linnet.ca.authority import Authority, Unusable
from linnet.kube.client import Client
from linnet.kube.kinds import SECRET
from linnet.kube.watch import Applied, Deleted, Listed, follow

EVERY = 3600.0  # seconds between looks at the root's age

log = structlog.get_logger(__name__)


async def keep_current(
    authority: Authority, client: Client, namespace: str, changed: Callable[[], None]
) -> None:
    """Call `changed` whenever the authority has another signer or other roots, for ever."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_follow_secret(authority, client, namespace, changed), name="ca-secret")
        tasks.create_task(_look_at_age(authority, client, namespace, changed), name="ca-age")


async def _follow_secret(
    authority: Authority, client: Client, namespace: str, changed: Callable[[], None]
) -> None:
    async for event in follow(client, SECRET, namespace, fields=f"metadata.name={authority.source}"):
        match event:
            case Deleted():
                log.warning("ca-secret-deleted", secret=authority.source, namespace=namespace)
            case Applied() | Listed():
                await _renew(authority, client, namespace, changed)


async def _look_at_age(
    authority: Authority, client: Client, namespace: str, changed: Callable[[], None]
) -> None:
    await asyncio.sleep(EVERY * random.random())  # noqa: S311 (so that replicas do not look at once)
    while True:
        await _renew(authority, client, namespace, changed)
        await asyncio.sleep(EVERY)


async def _renew(authority: Authority, client: Client, namespace: str, changed: Callable[[], None]) -> None:
    """One look; the signer at hand stays in use when the secret cannot be read or does not work."""
    try:
        if await authority.renew(client, namespace):
            log.info("ca-changed", secret=authority.source)
            changed()
    except (OSError, Unusable) as error:
        log.warning("ca-not-renewed", secret=authority.source, error=str(error))
