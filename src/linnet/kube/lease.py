"""One holder at a time, by an object that says who it is.

The holder renews; another takes over when the renewal is too old, or at once if it has the better claim.
Source: Kubernetes, Lease; Istio, leader election with priority for the default revision.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from msgspec import Struct

from linnet.kube import locks
from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from linnet.kube.locks import Lock, Record

DURATION = 15.0  # seconds without renewal after which another may take over
RENEW = 5.0  # seconds between renewals
RETRY = 1.0  # seconds between attempts of those who wait


class LeaseLost(OSError):
    """Another took the lock, or it could not be renewed in time."""


def _never(_key: str) -> bool:
    return False


class Claimant(Struct, frozen=True):
    """Who wants a lock. `prevails` says whether it may take it from a holder with that key."""

    identity: str
    key: str = ""
    prevails: Callable[[str], bool] = _never


def taken(record: Record, claimant: Claimant, now: datetime) -> bool:
    """Whether somebody else holds a lock and keeps it."""
    if record.holder == claimant.identity or record.expired(now):
        return False
    return not claimant.prevails(record.key)


async def try_take(client: Client, lock: Lock, claimant: Claimant) -> bool:
    """Take or renew a lock; False while another holds it. Raises OSError when the API server fails."""
    now = datetime.now(UTC)
    stamp = locks.stamp(now, lock.kind)
    mine = Record(claimant.identity, claimant.key, DURATION, stamp, stamp)
    try:
        obj = await client.get(lock.kind, lock.name, lock.namespace)
    except NotFound:
        try:
            await client.create(lock.kind, locks.written({}, lock, mine))
        except AlreadyExists:
            return False
        return True
    held = locks.read(obj, lock, DURATION)
    if taken(held, claimant, now):
        return False
    same = held.holder == claimant.identity
    mine = Record(
        claimant.identity,
        claimant.key,
        DURATION,
        stamp,
        (held.acquired or stamp) if same else stamp,
        held.transitions + (0 if same else 1),
    )
    try:
        await client.replace(lock.kind, locks.written(obj, lock, mine))
    except Conflict:
        return False
    return True


async def release(client: Client, lock: Lock, identity: str) -> None:
    """Give a lock back so that the next holder need not wait for it to expire."""
    try:
        obj = await client.get(lock.kind, lock.name, lock.namespace)
        held = locks.read(obj, lock, DURATION)
        if held.holder == identity:
            nobody = Record(duration=held.duration, acquired=held.acquired, transitions=held.transitions)
            await client.replace(lock.kind, locks.written(obj, lock, nobody))
    except (NotFound, Conflict):
        return


async def lead(client: Client, lock: Lock, claimant: Claimant, work: Callable[[], Awaitable[None]]) -> None:
    """For ever: wait for the lock, run `work` while it is held, cancel `work` when it is lost."""
    while True:
        try:
            held = await try_take(client, lock, claimant)
        except OSError:
            held = False
        if not held:
            await asyncio.sleep(RETRY)
            continue
        try:
            await _hold(client, lock, claimant, work)
        except* LeaseLost:
            pass


async def _hold(client: Client, lock: Lock, claimant: Claimant, work: Callable[[], Awaitable[None]]) -> None:
    where = f"{lock.kind.name} {lock.namespace}/{lock.name}"

    async def renew() -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(RENEW)
            try:
                if not await try_take(client, lock, claimant):
                    raise LeaseLost(f"{where} is held by another")
                renewed = loop.time()
            except ApiError as error:
                if error.code == 403:
                    raise
            except OSError as error:
                if isinstance(error, LeaseLost) or loop.time() - renewed > DURATION - RENEW:
                    raise LeaseLost(f"{where} could not be renewed") from error

    try:
        async with asyncio.TaskGroup() as tasks:
            renewal = tasks.create_task(renew())
            await work()
            renewal.cancel()
    finally:
        with_client = asyncio.shield(release(client, lock, claimant.identity))
        try:
            async with asyncio.timeout(2):
                await with_client
        except (OSError, TimeoutError):
            pass
