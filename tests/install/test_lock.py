"""The lock of mutating commands, on a real API server: one at a time, told who, never stuck."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from linnet.install import lock
from linnet.install.lock import Busy, Denied, LockLost, exclusive, stale
from linnet.install.process import gone, this_process
from linnet.kube.client import Client
from linnet.kube.config import Config, from_kubeconfig
from linnet.kube.errors import NotFound
from linnet.kube.kinds import LEASE, NAMESPACE, SERVICE_ACCOUNT
from linnet.kube.watch import Applied, follow

pytestmark = pytest.mark.wired
SPACE = "istio-system"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def client(api_server: str) -> AsyncIterator[Client]:
    """The administrator of a server that has the namespace."""
    async with Client(from_kubeconfig(api_server)) as client:
        try:
            await client.create(NAMESPACE, {"metadata": {"name": SPACE}})
        except OSError:
            assert await client.get(NAMESPACE, SPACE)
        yield client
        try:
            await client.delete(LEASE, lock.NAME, SPACE)
        except NotFound:
            pass


async def test_one_at_a_time(client: Client) -> None:
    """The second is told who is in the way, waits, and knows that it waited; nothing is left behind."""
    told: list[str] = []
    order: list[str] = []
    blocked = asyncio.Event()

    def waiting(who: str) -> None:
        told.append(who)
        blocked.set()

    async def second() -> None:
        async with exclusive(client, SPACE, "second", waiting=waiting) as waited:
            order.append("second")
            assert waited

    first = exclusive(client, SPACE, "first", waiting=told.append)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks, first as waited:
        assert not waited
        tasks.create_task(second())
        await blocked.wait()
        order.append("first")
    assert order == ["first", "second"]
    assert [who.partition(" by ")[0] for who in told] == ["Waiting for first"]
    with pytest.raises(NotFound):
        await client.get(LEASE, lock.NAME, SPACE)


async def test_no_patience(client: Client) -> None:
    """Who does not wait is told who is in the way."""
    async with exclusive(client, SPACE, "install revision a", waiting=print):
        with pytest.raises(
            Busy, match=r"install revision a by .* on .* \(process \d+\), since .* is at work"
        ):
            async with exclusive(client, SPACE, "b", waiting=print, patience=0):
                raise AssertionError


async def test_an_error_inside_releases(client: Client) -> None:
    """The body's own error comes out as it is, and the lock is free."""
    with pytest.raises(ValueError, match="mine"):
        async with exclusive(client, SPACE, "a", waiting=print):
            raise ValueError("mine")
    async with exclusive(client, SPACE, "b", waiting=print, patience=0) as waited:
        assert not waited


async def test_a_killed_holder_does_not_block(client: Client, api_server: str) -> None:
    """SIGKILL leaves the Lease; the next command sees that the process is gone."""
    program = f"""
import asyncio
from linnet.install.lock import exclusive
from linnet.kube.client import Client
from linnet.kube.config import Config, from_kubeconfig
async def main():
    async with Client(from_kubeconfig({api_server!r})) as client:
        async with exclusive(client, {SPACE!r}, "killed", waiting=print):
            print("held", flush=True)
            await asyncio.Event().wait()
asyncio.run(main())
"""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(Busy):
        async with exclusive(client, SPACE, "early", waiting=print, patience=0):
            raise AssertionError
    holder.kill()
    await holder.wait()
    async with exclusive(client, SPACE, "next", waiting=print, patience=0):
        held = await client.get(LEASE, lock.NAME, SPACE)
        assert held["metadata"]["annotations"][lock.PURPOSE] == "next"


@pytest.mark.parametrize("how", ["removed", "taken"])
async def test_a_lost_lock_stops_the_holder(
    client: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Who finds another's Lease, or none, at its renewal is cancelled, and never touches the other's."""
    monkeypatch.setattr(lock, "RENEW", 0.05)
    held: dict[str, Any] = {}

    async def holding() -> None:
        async with asyncio.timeout(60), exclusive(client, SPACE, "a", waiting=print):
            held.update(await client.get(LEASE, lock.NAME, SPACE))
            await client.delete(LEASE, lock.NAME, SPACE)
            if how == "taken":
                metadata = {"name": lock.NAME, "namespace": SPACE}
                await client.create(LEASE, {"metadata": metadata, "spec": held["spec"]})
            await asyncio.Event().wait()

    with pytest.raises(LockLost, match="run the command again"):
        await holding()
    if how == "taken":
        assert (await client.get(LEASE, lock.NAME, SPACE))["spec"]["renewTime"] == held["spec"]["renewTime"]


async def test_renewal_goes_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the body works the renewal time moves."""
    monkeypatch.setattr(lock, "RENEW", 0.05)
    async with asyncio.timeout(60), exclusive(client, SPACE, "a", waiting=print):
        first = await client.get(LEASE, lock.NAME, SPACE)
        async with aclosing(follow(client, LEASE, SPACE)) as events:
            async for event in events:
                if (
                    isinstance(event, Applied)
                    and event.object["spec"]["renewTime"] != (first["spec"]["renewTime"])
                ):
                    break


async def test_a_holder_elsewhere_expires(client: Client) -> None:
    """A Lease of another machine is taken over once nobody has renewed it for its duration."""
    spec = {
        "holderIdentity": "ann on far-away (process 1)",
        "leaseDurationSeconds": 1,
        "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    metadata = {
        "name": lock.NAME,
        "namespace": SPACE,
        "annotations": {lock.PURPOSE: "upgrade", lock.PROCESS: "another-boot/1/1/1"},
    }
    await client.create(LEASE, {"metadata": metadata, "spec": spec})
    told: list[str] = []
    async with exclusive(client, SPACE, "next", waiting=told.append, patience=60) as waited:
        assert waited
    assert told == ["Waiting for upgrade by ann on far-away (process 1)"]


async def test_without_a_namespace_there_is_nothing_to_hold(client: Client) -> None:
    """An uninstall goes on where the namespace was deleted before."""
    async with exclusive(client, "gone", "a", waiting=print) as waited:
        assert not waited


@pytest.mark.parametrize(
    ("renewed", "unchanged", "free"),
    [
        (timedelta(), 1, False),
        (timedelta(), lock.DURATION + 1, True),
        (timedelta(seconds=-60), 1, False),  # a clock that is behind by a minute
        (timedelta(seconds=60), 1, False),
        (timedelta(hours=-1), 0, True),
    ],
)
def test_stale(renewed: timedelta, unchanged: float, free: bool) -> None:
    """By our own clock; by the wall clock only when no clock is that wrong."""
    spec = {
        "holderIdentity": "x",
        "leaseDurationSeconds": int(lock.DURATION),
        "renewTime": (NOW + renewed).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    lease: dict[str, Any] = {"metadata": {"uid": "u"}, "spec": spec}
    assert stale(lease, unchanged=unchanged, now=NOW) is free


def test_processes() -> None:
    """This one runs; one of another boot may; one of ours with another start is gone."""
    boot, namespace, process, start = this_process().split("/")
    assert not gone(this_process())
    assert not gone(f"other/{namespace}/{process}/{start}")
    assert not gone(f"{boot}/1/{process}/{start}")
    assert gone(f"{boot}/{namespace}/{process}/1")
    assert not gone("")
    assert not gone("nonsense")


async def test_who_may_not_take_it_is_told_what_it_is(client: Client) -> None:
    """The message names the Lease, the user and the right, and that nothing happened."""
    account = {"name": "reader", "namespace": SPACE}
    await client.create(SERVICE_ACCOUNT, {"metadata": account})
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": account,
        "spec": {},
    }
    answer = await client.create(SERVICE_ACCOUNT, asked, namespace=SPACE, subresource="token")
    config = Config(client.config.server, client.config.ca, token=answer["status"]["token"])
    async with Client(config) as reader:
        with pytest.raises(
            Denied, match=r"hold the Lease istio-system/linnet-operation .*reader.*nothing was"
        ):
            async with exclusive(reader, SPACE, "tag set x", waiting=print):
                pytest.fail("it was not locked")
