"""One holder at a time, by a coordination.k8s.io Lease.

Source: Kubernetes, Lease; the holder renews, another takes over when the renewal is older than the duration.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from linnet.kube.client import Client, Object
from linnet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from linnet.kube.kinds import LEASE

DURATION = 15.0  # seconds without renewal after which another may take over
RENEW = 5.0  # seconds between renewals
RETRY = 1.0  # seconds between attempts of those who wait


class LeaseLost(OSError):
    """Another took the lease, or it could not be renewed in time."""


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def free(lease: Object, identity: str, now: datetime) -> bool:
    """Whether `identity` may take this lease at `now`: it is its own, nobody's, or expired."""
    spec = lease.get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder or holder == identity or not renewed:
        return True
    age = (now - datetime.fromisoformat(renewed)).total_seconds()
    return age > float(spec.get("leaseDurationSeconds") or DURATION)


async def try_take(client: Client, namespace: str, name: str, identity: str) -> bool:
    """Take or renew the lease; False while another holds it. Raises OSError when the API server fails."""
    now = datetime.now(UTC)
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": int(DURATION),
        "renewTime": _stamp(now),
        "acquireTime": _stamp(now),
    }
    try:
        lease = await client.get(LEASE, name, namespace)
    except NotFound:
        fresh = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
        try:
            await client.create(LEASE, fresh | {"metadata": {"name": name, "namespace": namespace}})
        except AlreadyExists:
            return False
        return True
    if not free(lease, identity, now):
        return False
    held = lease.get("spec") or {}
    if held.get("holderIdentity") == identity:
        spec["acquireTime"] = held.get("acquireTime", spec["acquireTime"])
    else:
        spec["leaseTransitions"] = int(held.get("leaseTransitions") or 0) + 1
    try:
        await client.replace(LEASE, lease | {"spec": {**held, **spec}})
    except Conflict:
        return False
    return True


async def release(client: Client, namespace: str, name: str, identity: str) -> None:
    """Give the lease back so that the next holder need not wait for it to expire."""
    try:
        lease = await client.get(LEASE, name, namespace)
        if (lease.get("spec") or {}).get("holderIdentity") == identity:
            await client.replace(
                LEASE, lease | {"spec": {**lease["spec"], "holderIdentity": "", "renewTime": None}}
            )
    except (NotFound, Conflict):
        return


async def lead(
    client: Client, namespace: str, name: str, identity: str, work: Callable[[], Awaitable[None]]
) -> None:
    """For ever: wait for the lease, run `work` while it is held, cancel `work` when it is lost."""
    while True:
        try:
            held = await try_take(client, namespace, name, identity)
        except OSError:
            held = False
        if not held:
            await asyncio.sleep(RETRY)
            continue
        try:
            await _hold(client, namespace, name, identity, work)
        except* LeaseLost:
            pass


async def _hold(
    client: Client, namespace: str, name: str, identity: str, work: Callable[[], Awaitable[None]]
) -> None:
    async def renew() -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(RENEW)
            try:
                if not await try_take(client, namespace, name, identity):
                    raise LeaseLost(f"lease {namespace}/{name} is held by another")
                renewed = loop.time()
            except ApiError as error:
                if error.code == 403:
                    raise
            except OSError as error:
                if isinstance(error, LeaseLost) or loop.time() - renewed > DURATION - RENEW:
                    raise LeaseLost(f"lease {namespace}/{name} could not be renewed") from error

    try:
        async with asyncio.TaskGroup() as tasks:
            renewal = tasks.create_task(renew())
            await work()
            renewal.cancel()
    finally:
        with_client = asyncio.shield(release(client, namespace, name, identity))
        try:
            async with asyncio.timeout(2):
                await with_client
        except (OSError, TimeoutError):
            pass
