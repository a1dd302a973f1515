"""Follow a kind for ever: the generator *is* the state machine (list, watch, list again after a gap)."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec import Struct

from linnet.kube.client import Client, Object
from linnet.kube.errors import ApiError, Gone
from linnet.kube.kinds import Kind


class Listed(Struct, frozen=True):
    """Everything there is at one moment; what is not in it does not exist."""

    items: list[Object]
    resource_version: str


class Applied(Struct, frozen=True):
    """An object was created or changed."""

    object: Object


class Deleted(Struct, frozen=True):
    """An object was deleted; `object` is its last state."""

    object: Object


Event = Listed | Applied | Deleted


def jittered(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 0.1 s doubling to 10 s, half of it random."""
    return min(10.0, 0.1 * 2.0 ** min(failures, 7)) * (0.5 + random.random() / 2)  # noqa: S311


async def follow(
    client: Client,
    kind: Kind,
    namespace: str = "",
    *,
    labels: str = "",
    fields: str = "",
    backoff: Callable[[int], float] = jittered,
) -> AsyncGenerator[Event, None]:
    """Yield every change, for ever; survive disconnects, expiry and failures of the API server.

    The first event is `Listed`; so is the first after each gap that the server cannot bridge.
    Errors that no retry mends (401, 403, 404, 405) are raised only before the first list succeeded.
    """
    failures, since, listed_once = 0, "", False
    while True:
        try:
            if not since:
                listing = await client.list(kind, namespace, labels=labels, fields=fields)
                listed_once = True
                yield Listed(listing.items, listing.resource_version)
                since = listing.resource_version
            async with aclosing(
                client.watch(kind, namespace, since=since, labels=labels, fields=fields)
            ) as events:
                async for event in events:
                    obj = event["object"]
                    failures, since = 0, obj["metadata"]["resourceVersion"]
                    if event["type"] == "DELETED":
                        yield Deleted(obj)
                    elif event["type"] != "BOOKMARK":
                        yield Applied(obj)
        except Gone:
            failures, since = failures + 1, ""
            await asyncio.sleep(backoff(failures) if failures > 1 else 0)
        except ApiError as error:
            if error.code in (401, 403, 404, 405) and not listed_once:
                raise
            failures += 1
            if error.code in (401, 403, 404, 405):
                since = ""
            await asyncio.sleep(backoff(failures))
        except (OSError, TimeoutError):
            failures += 1
            await asyncio.sleep(backoff(failures))
