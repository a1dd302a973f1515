"""Keep the record: one write at the end of a command that changed something, under its lock.

    async with exclusive(client, namespace, purpose, waiting=say):
        async with recorded(client, namespace, purpose, warn=say) as record:
            ...

A command that was killed cannot write its end. Its Lease is left behind and tells what it was; who takes over
writes it down as interrupted (`linnet.install.lock` hands the dead on, from Lease to Lease, until somebody
comes to the end). That nothing could be written never makes a command fail: a warning says so.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec

from linnet.install import history, lock
from linnet.install.history import NAME, Change, Dead, Entry, State
from linnet.install.marks import COMPONENT, TAG_LABEL
from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from linnet.kube.kinds import CONFIG_MAP, DEPLOYMENT, LEASE, MUTATING_WEBHOOK

SECONDS = 10.0  # for reading or writing the record: nobody waits longer for it
TRIES = 5  # writes, while others write too


@dataclass(slots=True)
class Record:
    """What is known of the command that runs."""

    id: str
    began: str
    command: str
    before: State | None
    dead: tuple[Dead, ...]
    noted: list[Change] = field(default_factory=list)

    def note(self, what: str, before: str, after: str) -> None:
        """Add a change that the objects of an installation do not show."""
        if before != after:
            self.noted.append(Change(what, before, after))


@contextlib.asynccontextmanager
async def recorded(
    client: Client, namespace: str, command: str, *, warn: Callable[[str], None]
) -> AsyncIterator[Record]:
    """Run the body of a command that holds the lock, then write down what it changed and how it ended.

    `warn` is told why nothing could be written.
    """
    record = await _begin(client, namespace, command)
    writes = client.writes
    result, error = history.DONE, ""
    try:
        yield record
    except asyncio.CancelledError:
        result = history.INTERRUPTED
        raise
    except BaseException as raised:
        result, error = history.FAILED, history.message(raised)
        raise
    finally:
        try:
            async with asyncio.timeout(SECONDS):
                await _end(client, namespace, record, client.writes - writes, result, error)
        except (OSError, TimeoutError) as failure:
            why = str(failure) or f"no answer within {SECONDS:g} seconds"
            warn(f"not recorded in ConfigMap {namespace}/{NAME}: {why}")


async def read(client: Client, namespace: str) -> list[Entry]:
    """The record, the oldest entry first; empty where nothing was recorded."""
    try:
        return history.decoded(await client.get(CONFIG_MAP, NAME, namespace))
    except NotFound:
        return []


async def forget(client: Client, namespace: str) -> None:
    """Remove the record."""
    with contextlib.suppress(NotFound):
        await client.delete(CONFIG_MAP, NAME, namespace)


async def _begin(client: Client, namespace: str, command: str) -> Record:
    began, uid, before = _now(), "", None
    dead: list[Dead] = []
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            before = await _state(client)
            held = await client.get(LEASE, lock.NAME, namespace)
            uid, dead = held["metadata"]["uid"], lock.dead(held)
            note = {
                "metadata": {"uid": uid, "annotations": {lock.BEFORE: msgspec.json.encode(before).decode()}}
            }
            await client.patch(LEASE, lock.NAME, namespace, note)
    return Record(uid or str(uuid.uuid4()), began, command, before, tuple(dead))


async def _end(client: Client, namespace: str, record: Record, writes: int, result: str, error: str) -> None:
    if not writes and not record.dead:
        return
    new = history.interruptions(record.dead, record.before)
    if writes:
        after = await _state(client)
        own = Entry(
            id=record.id,
            began=record.began,
            ended=_now(),
            by=lock.holder(),
            version=version("linnet"),
            command=record.command,
            result=result,
            error=error,
            writes=writes,
            changes=(*history.changes(record.before, after), *record.noted),
        )
        new.append(own)
    for attempt in range(TRIES):
        with contextlib.suppress(*((Conflict, AlreadyExists) if attempt < TRIES - 1 else ())):
            await _add(client, namespace, new, record.id)
            return


async def _add(client: Client, namespace: str, new: list[Entry], writer: str) -> None:
    """One write of the record, if it says anything new. Raises Conflict, AlreadyExists: read it again."""
    try:
        held: dict[str, Any] = await client.get(CONFIG_MAP, NAME, namespace)
    except NotFound:
        held = {"metadata": {"name": NAME, "namespace": namespace}}
    data = held.get("data") or {}
    entries = history.added(history.decoded(held), data.get(history.LAST, ""), new)
    if entries is None:
        return
    held["data"] = data | {history.ENTRIES: history.encoded(entries), history.LAST: writer}
    if "resourceVersion" in held["metadata"]:
        await client.replace(CONFIG_MAP, held)
    else:
        await client.create(CONFIG_MAP, held)


async def _state(client: Client) -> State | None:
    """What is there now; None: it cannot be read."""
    try:
        hooks = await client.list(MUTATING_WEBHOOK, labels=TAG_LABEL)
        deployments = await client.list(DEPLOYMENT, labels=COMPONENT)
    except ApiError:
        return None
    return history.state(hooks.items, deployments.items)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
