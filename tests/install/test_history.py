"""The record of commands: what it says, that it is bounded, loses nothing, and never hinders."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from linnet.install import history, lock
from linnet.install.history import Change, Dead, Entry, State, added, changes, decoded, encoded, interruptions
from linnet.install.lock import exclusive
from linnet.install.recording import forget, read, recorded
from linnet.kube.client import Client
from linnet.kube.config import Config, from_kubeconfig
from linnet.kube.errors import NotFound
from linnet.kube.kinds import CONFIG_MAP, LEASE, MUTATING_WEBHOOK, NAMESPACE, SERVICE_ACCOUNT

SPACE = "istio-system"
OLD = State({"1-0-0": "1.0"}, {"default": "1-0-0"}, {"in.edge": "1-0-0"})
NEW = State({"1-0-0": "1.0", "canary": "1.1"}, {"default": "canary", "prod": "canary"}, {"in.edge": "canary"})


def entry(number: int, **more: Any) -> Entry:
    """An entry whose time is its number."""
    stamp = f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"
    return Entry(
        **(
            {"id": f"u{number}", "began": stamp, "ended": stamp, "by": "ann on h", "version": "1"}
            | {"command": "c"}
            | more
        )
    )


def dead(number: int, before: State | None = None) -> Dead:
    """A killed command."""
    made = entry(number)
    return Dead(made.id, made.began, made.ended, made.by, made.version, made.command, before)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(OLD, OLD, [], id="nothing"),
        pytest.param(None, OLD, [], id="unknown"),
        pytest.param(
            OLD,
            NEW,
            [
                "revision canary: none -> 1.1",
                "default: 1-0-0 -> canary",
                "tag prod: none -> canary",
                "gateway in.edge: 1-0-0 -> canary",
            ],
            id="there",
        ),
        pytest.param(
            NEW,
            OLD,
            [
                "revision canary: 1.1 -> none",
                "default: canary -> 1-0-0",
                "tag prod: canary -> none",
                "gateway in.edge: canary -> 1-0-0",
            ],
            id="back",
        ),
    ],
)
def test_what_changed(before: State | None, after: State, told: list[str]) -> None:
    """What pointed where before and after."""
    assert list(map(str, changes(before, after))) == told


@pytest.mark.unit
def test_each_of_several_dead_has_its_own_changes() -> None:
    """What one had changed is what the next one found."""
    first, second, third = interruptions([dead(1, OLD), dead(2, None), dead(3, OLD)], NEW)
    assert (first.changes, second.changes) == ((), ())
    assert Change("default", "1-0-0", "canary") in third.changes
    assert {one.result for one in (first, second, third)} == {"interrupted"}
    assert interruptions([], NEW) == []


@pytest.mark.unit
@pytest.mark.parametrize(
    ("held", "last", "new", "ids"),
    [
        pytest.param([], "", [], None, id="nothing"),
        pytest.param([], "", [entry(1)], ["u1"], id="first"),
        pytest.param([entry(2)], "u2", [entry(1)], ["u1", "u2"], id="by time"),
        pytest.param([entry(1)], "u1", interruptions([dead(1)], None), None, id="died after its record"),
        pytest.param([entry(1)], "u2", interruptions([dead(2)], None), None, id="wrote others' and died"),
        pytest.param([entry(1)], "u1", interruptions([dead(2)], None), ["u1", "u2"], id="died before"),
        pytest.param(
            [entry(n) for n in range(history.LIMIT)],
            "",
            [entry(history.LIMIT)],
            [f"u{n}" for n in range(1, history.LIMIT + 1)],
            id="the oldest goes",
        ),
    ],
)
def test_adding(held: list[Entry], last: str, new: list[Entry], ids: list[str] | None) -> None:
    """Each command is there once, the oldest of more than the limit go."""
    whole = added(held, last, new)
    assert (None if whole is None else [one.id for one in whole]) == ids


@pytest.mark.unit
def test_taken_for_dead_by_mistake() -> None:
    """A command that was thought dead and comes to its end says itself how."""
    thought = interruptions([dead(1)], None)
    whole = added(thought, "u9", [entry(1, writes=3)])
    assert whole is not None
    assert [(one.id, one.result) for one in whole] == [("u1", "done")]


@pytest.mark.unit
def test_there_and_back() -> None:
    """What is written is read; what people broke is left out."""
    entries = [entry(1, changes=(Change("tag a", "", "x"),), error="é\nb"), entry(2)]
    text = encoded(entries)
    assert decoded({"data": {"entries": text}}) == entries
    first, second = text.splitlines()
    assert decoded({"data": {"entries": f"{first[5:]}\n[1]\n\n{second}"}}) == entries[1:]
    assert decoded({}) == []


@pytest.mark.unit
@pytest.mark.parametrize(
    ("made", "revision", "concerned"),
    [
        (entry(1, changes=(Change("tag prod", "1-0-0", "canary"),)), "1-0-0", True),
        (entry(1, changes=(Change("revision canary", "1.0", "1.1"),)), "canary", True),
        (entry(1, changes=(Change("tag prod", "1-0-0", "canary"),)), "can", False),
        (entry(1, command="install of revision canary"), "canary", True),
    ],
)
def test_whom_it_concerns(made: Entry, revision: str, concerned: bool) -> None:
    """By name, not by a part of it."""
    assert made.concerns(revision) is concerned


@pytest.fixture
async def client(api_server: str) -> AsyncIterator[Client]:
    """The administrator of a server that has the namespace and nothing on record."""
    async with Client(from_kubeconfig(api_server)) as client:
        try:
            await client.create(NAMESPACE, {"metadata": {"name": SPACE}})
        except OSError:
            assert await client.get(NAMESPACE, SPACE)
        await forget(client, SPACE)
        yield client
        for kind, name in ((LEASE, lock.NAME), (MUTATING_WEBHOOK, "t")):
            try:
                await client.delete(kind, name, SPACE if kind is LEASE else "")
            except NotFound:
                pass


def unexpected(text: str) -> None:
    """Nothing may be warned about."""
    raise AssertionError(text)


async def tag(client: Client, revision: str) -> None:
    """Let the tag `prod` name a revision."""
    hook = {"metadata": {"name": "t", "labels": {"istio.io/tag": "prod", "istio.io/rev": revision}}}
    try:
        await client.patch(MUTATING_WEBHOOK, "t", "", hook)
    except NotFound:
        await client.create(MUTATING_WEBHOOK, hook)


@pytest.mark.wired
async def test_written_once_at_the_end(client: Client) -> None:
    """What changed, by whom, how it ended; a command that wrote nothing, or only asked, is not on record."""
    async with exclusive(client, SPACE, "a", waiting=print), recorded(client, SPACE, "a", warn=unexpected):
        await tag(client, "x")
        assert await read(client, SPACE) == []
    async with exclusive(client, SPACE, "b", waiting=print), recorded(client, SPACE, "b", warn=unexpected):
        await client.create(CONFIG_MAP, {"metadata": {"name": "c", "namespace": SPACE}}, dry_run=True)
    before = await client.get(CONFIG_MAP, history.NAME, SPACE)

    async def fails() -> None:
        async with recorded(client, SPACE, "c", warn=unexpected) as record:
            await tag(client, "y")
            record.note("gateway g", "x", "y")
            raise ValueError("refused\nfor a reason")

    with pytest.raises(ValueError, match="refused"):
        await fails()
    with pytest.raises(ValueError, match="early"):
        async with recorded(client, SPACE, "d", warn=unexpected):
            raise ValueError("early")
    first, second = await read(client, SPACE)
    assert before["data"]["last"] == first.id
    assert (first.command, first.result, first.writes, first.by) == ("a", "done", 1, lock.holder())
    assert list(map(str, first.changes)) == ["tag prod: none -> x"]
    assert (second.command, second.result, second.error) == ("c", "failed", "refused")
    assert list(map(str, second.changes)) == ["tag prod: x -> y", "gateway g: x -> y"]


@pytest.mark.wired
async def test_writers_at_once_lose_nothing(client: Client) -> None:
    """Where nobody holds the lock (they may differ in versions), a conflict means: again."""

    async def one(number: int) -> None:
        async with recorded(client, SPACE, f"c{number}", warn=unexpected):
            name = f"c{number}"
            await client.create(CONFIG_MAP, {"metadata": {"name": name, "namespace": SPACE}})

    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(one(number))
    assert {entry.command for entry in await read(client, SPACE)} == {"c0", "c1", "c2", "c3"}


@pytest.mark.wired
async def test_a_cancelled_command(client: Client) -> None:
    """Ctrl-C: on record as interrupted, with what it had changed."""
    began = asyncio.Event()

    async def work() -> None:
        async with recorded(client, SPACE, "long", warn=unexpected):
            await tag(client, "x")
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [found] = await read(client, SPACE)
    assert (found.result, found.writes) == ("interrupted", 1)


PROGRAM = """
import asyncio, os, signal, sys
from linnet.install.lock import exclusive
from linnet.install.recording import recorded
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.kinds import MUTATING_WEBHOOK
from tests.install.test_history import SPACE, tag

async def main(config, name, revision):
    async with Client(from_kubeconfig(config)) as client:
        async with exclusive(client, SPACE, name, waiting=print):
            async with recorded(client, SPACE, name, warn=print):
                await tag(client, revision)
                os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.wired
async def test_the_killed_are_written_down_by_who_comes_next(client: Client, api_server: str) -> None:
    """Two are killed, one after the other; the third writes down both, although it changes nothing, once."""
    await tag(client, "w")
    for name, revision in (("one", "x"), ("two", "y")):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, api_server, name, revision
        )
        assert await process.wait() == -9
    for name in ("three", "four"):
        async with (
            exclusive(client, SPACE, name, waiting=print),
            recorded(client, SPACE, name, warn=unexpected),
        ):
            pass
    one, two = await read(client, SPACE)
    assert (one.command, one.result, two.command, two.result) == ("one", "interrupted", "two", "interrupted")
    assert list(map(str, one.changes)) == ["tag prod: w -> x"]
    assert list(map(str, two.changes)) == ["tag prod: x -> y"]


@pytest.mark.wired
async def test_who_may_not_write_is_warned(client: Client) -> None:
    """The command succeeds all the same."""
    account = {"name": "nobody", "namespace": SPACE}
    await client.create(SERVICE_ACCOUNT, {"metadata": account})
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": account,
        "spec": {},
    }
    answer = await client.create(SERVICE_ACCOUNT, asked, namespace=SPACE, subresource="token")
    told: list[str] = []
    config = Config(client.config.server, client.config.ca, token=answer["status"]["token"])
    async with Client(config) as nobody, recorded(nobody, SPACE, "a", warn=told.append):
        nobody.writes += 1  # as if it had been allowed something else
    [warning] = told
    assert warning.startswith("not recorded in ConfigMap istio-system/linnet-history: ")
    assert "forbidden" in warning
    assert await read(client, SPACE) == []
