"""One mutating command at a time: a Lease in the control plane's namespace that exists while it runs.

    async with exclusive(client, namespace, "install revision canary", waiting=say):
        ...

The Lease is created by the holder, renewed while it works and deleted at its end, so its uid is the holder's.
A killed holder leaves it behind. Another takes over at once where it sees that the process is gone (the same
machine), and else after `DURATION` seconds without a renewal, by its own clock: clocks of machines differ.
A holder that cannot renew in time is cancelled before another may begin.

A Lease also says what a killed holder had begun: who takes over gets that as an annotation of the own Lease
(`dead`), for the record of `linnet.install.recording`.
"""

import asyncio
import contextlib
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import msgspec

from linnet.install.history import Dead, State
from linnet.install.process import gone, this_process
from linnet.kube.client import Client
from linnet.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, NotFound
from linnet.kube.kinds import LEASE

NAME = "linnet-operation"
PURPOSE, PROCESS = "linnet.io/purpose", "linnet.io/process"  # annotations of the Lease
VERSION = "linnet.io/version"  # of the command line
BEFORE = "linnet.io/before"  # what its holder found: linnet.install.history.State as JSON
DEAD = "linnet.io/dead"  # those who were killed before it: a JSON list of linnet.install.history.Dead
GENERATIONS = 10  # dead that are handed on
DURATION = 15.0  # seconds without renewal after which another may take over
RENEW = 3.0  # seconds between renewals
SLACK = 4.0  # seconds by which a holder that cannot renew gives up before others may take over
RETRY = 0.5  # seconds between looks of those who wait
OLD = 300.0  # seconds of age, by the wall clock, from which on nobody's clock is that wrong
PATIENCE = 600.0  # seconds to wait for another command

Object = dict[str, Any]


class Busy(OSError):
    """Another command holds the lock; the message says which, and who runs it."""


class Denied(OSError):
    """The user may not take the lock; the message names it."""


class LockLost(OSError):
    """The lock could not be renewed in time; what was begun is stopped."""


@contextlib.asynccontextmanager
async def exclusive(
    client: Client,
    namespace: str,
    purpose: str,
    *,
    waiting: Callable[[str], None],
    patience: float = PATIENCE,
) -> AsyncIterator[bool]:
    """Run the body while no other mutating command works on this plane; yields whether it had to wait.

    `purpose` is shown to others (`uninstall revision canary`); `waiting` gets a line that says who is in the
    way. Who waited should look at the cluster anew. Where the namespace is missing or being deleted there is
    nothing to hold, and the body runs without a lock.

    Raises:
        Busy: another command still holds the lock after `patience` seconds (0: do not wait).
        Denied: the user has no right to it.
        LockLost: the API server could not be reached in time to renew; the body was cancelled.
    """
    try:
        uid, waited = await _take(client, namespace, purpose, waiting, patience)
    except Forbidden as error:
        if not _terminating(error):
            raise Denied(
                f"commands that change a plane hold the Lease {namespace}/{NAME} while they work: {error}; "
                "nothing was changed"
            ) from error
        yield False
        return
    except NotFound:
        yield False
        return
    body = asyncio.current_task()
    assert body is not None
    renewal = asyncio.create_task(_renew(client, namespace, uid), name="lock")

    def stop(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            body.cancel()

    renewal.add_done_callback(stop)
    try:
        try:
            yield waited
        finally:
            renewal.remove_done_callback(stop)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(5):
                    await client.delete(LEASE, NAME, namespace, uid=uid)
    except asyncio.CancelledError:
        if renewal.done() and not renewal.cancelled() and body.uncancel() == 0:
            raise _lost(namespace, renewal.exception()) from None
        raise
    finally:
        renewal.cancel()


async def present(client: Client, namespace: str) -> bool:
    """Whether somebody holds the lock or died with it; else who has nothing to write need not take it."""
    try:
        await client.get(LEASE, NAME, namespace)
    except NotFound:
        return False
    return True


def _terminating(error: ApiError) -> bool:
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _lost(namespace: str, error: BaseException | None) -> LockLost:
    return LockLost(f"stopped: the lock (Lease {namespace}/{NAME}) was lost: {error}; run the command again")


async def _take(
    client: Client, namespace: str, purpose: str, waiting: Callable[[str], None], patience: float
) -> tuple[str, bool]:
    """The uid of our Lease, and whether another was in the way."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    seen: tuple[str, str] = ("", "")  # uid and renewal of the Lease in the way
    died: list[Dead] = []
    since, told = begun, ""
    while True:
        try:
            made = await client.create(LEASE, _lease(namespace, purpose, died))
        except AlreadyExists:
            pass
        else:
            return str(made["metadata"]["uid"]), bool(told)
        try:
            held = await client.get(LEASE, NAME, namespace)
        except NotFound:
            continue
        uid, renewed = held["metadata"]["uid"], str((held.get("spec") or {}).get("renewTime") or "")
        if (uid, renewed) != seen:
            seen, since = (uid, renewed), loop.time()
        if stale(held, unchanged=loop.time() - since, now=datetime.now(UTC)):
            with contextlib.suppress(NotFound, Conflict):
                await client.delete(LEASE, NAME, namespace, uid=uid)
                died = [*dead(held), _died(held)][-GENERATIONS:]
            continue
        who = describe(held)
        if loop.time() - begun >= patience:
            raise Busy(f"{who} is at work (Lease {namespace}/{NAME}); try again when it is done")
        if told != who:
            told = who
            waiting(f"Waiting for {who}")
        await asyncio.sleep(RETRY)


def stale(lease: Object, *, unchanged: float, now: datetime) -> bool:
    """Whether nobody holds a Lease any more: its process is gone, or it was not renewed in time.

    `unchanged`: for how many seconds we have seen the same renewal.
    """
    meta, spec = lease["metadata"], lease.get("spec") or {}
    if gone((meta.get("annotations") or {}).get(PROCESS, "")):
        return True
    renewed = spec.get("renewTime")
    if not renewed or not spec.get("holderIdentity"):
        return True
    age = (now - datetime.fromisoformat(renewed)).total_seconds()
    return unchanged > float(spec.get("leaseDurationSeconds") or DURATION) or age > OLD


def describe(lease: Object) -> str:
    """`install revision canary by ann on host-1 (process 4711), since 10:15:03` (UTC)."""
    purpose = (lease["metadata"].get("annotations") or {}).get(PURPOSE, "another command")
    spec = lease.get("spec") or {}
    since = str(spec.get("acquireTime") or "")[11:19]
    return f"{purpose} by {spec.get('holderIdentity', 'nobody')}" + (f", since {since} UTC" if since else "")


def dead(lease: Object) -> list[Dead]:
    """Those who were killed before the holder of a Lease began, the oldest first."""
    try:
        return msgspec.json.decode(
            (lease["metadata"].get("annotations") or {}).get(DEAD, "[]"), type=list[Dead]
        )
    except msgspec.MsgspecError:
        return []


def _died(lease: Object) -> Dead:
    notes, spec = lease["metadata"].get("annotations") or {}, lease.get("spec") or {}
    try:
        before = msgspec.json.decode(notes.get(BEFORE, "null"), type=State | None)
    except msgspec.MsgspecError:
        before = None
    began, ended = (str(spec.get(key) or "")[:19] for key in ("acquireTime", "renewTime"))
    return Dead(
        id=lease["metadata"]["uid"],
        began=f"{began}Z",
        ended=f"{ended}Z",
        by=str(spec.get("holderIdentity") or "").partition(" (process")[0],
        version=notes.get(VERSION, ""),
        command=notes.get(PURPOSE, ""),
        before=before,
    )


def holder() -> str:
    """`ann on host-1`."""
    return f"{_user()} on {socket.gethostname()}"


def _lease(namespace: str, purpose: str, died: list[Dead]) -> Object:
    now = _stamp()
    notes = {PURPOSE: purpose, PROCESS: this_process(), VERSION: version("linnet")}
    if died:
        notes[DEAD] = msgspec.json.encode(died).decode()
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.name,
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "annotations": notes,
        },
        "spec": {
            "holderIdentity": f"{holder()} (process {os.getpid()})",
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": now,
            "renewTime": now,
        },
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name
        return f"user {os.getuid()}"


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _renew(client: Client, namespace: str, uid: str) -> None:
    """Renew until cancelled. Raises OSError when the lock is lost."""
    loop = asyncio.get_running_loop()
    renewed = loop.time()
    while True:
        await asyncio.sleep(RENEW)
        left = renewed + DURATION - SLACK - loop.time()
        begun = loop.time()
        try:
            async with asyncio.timeout(left):
                # of the same uid only: a patch never touches the Lease of one who took over
                patch = {"metadata": {"uid": uid}, "spec": {"renewTime": _stamp()}}
                await client.patch(LEASE, NAME, namespace, patch)
            renewed = begun
        except (NotFound, Conflict):
            raise
        except ApiError as error:
            if error.code < 500 and error.code != 429:
                raise
        except TimeoutError:
            raise TimeoutError(f"it could not be renewed for {DURATION - SLACK:.0f} seconds") from None
        except OSError:
            await asyncio.sleep(0)  # no connection: again until the time is over
