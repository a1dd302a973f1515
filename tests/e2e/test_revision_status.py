"""`revision status` and `revision history`: two revisions under load, and what was done to them."""

import json
from collections.abc import Iterator

import pytest
from tests.e2e.asking import SYSTEM, stored
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until
from tests.e2e.failing import scorecard, serve, verdicts
from tests.e2e.killing import killed

from linnet.kube.client import Client
from linnet.kube.kinds import CONFIG_MAP, DEPLOYMENT, LEASE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), NEEDS_ROOT]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A cluster with 1-0-0, the default and its gateway, and a canary."""
    with cluster() as made:
        made.linnet("install", "--set", "revision=1-0-0", "-y")
        made.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
        yield made


def history(mesh: Cluster, *args: str) -> list[dict]:
    """What is on record."""
    return json.loads(mesh.linnet("revision", "history", "-o", "json", *args))


def told(entry: dict) -> list[tuple[str, str, str]]:
    """Its changes."""
    return [(change["what"], change["before"], change["after"]) for change in entry["changes"]]


async def test_two_revisions_that_do_well(mesh: Cluster, space) -> None:
    """Their proxies are connected and in sync, their Envoys tell what they answer; nobody fails a check."""
    for revision in ("1-0-0", "canary"):
        serve(mesh, await space(rev=revision), well=True)

    async def busy() -> bool:
        cards = scorecard(mesh, "--window", "8")
        return all(
            "failures" in verdicts(card)
            and card["proxies"]["inSync"] == card["proxies"]["connected"] >= 2
            and card["traffic"]["milliseconds"]["p99"]
            and card["verdict"] == "ok"
            for card in cards.values()
        )

    await until(busy, 200)
    cards = scorecard(mesh, "canary", "--sample", "1")
    assert list(cards) == ["canary"]
    assert cards["canary"]["traffic"]["proxiesAsked"] == 1
    lines = mesh.linnet("x", "revision", "status").splitlines()
    assert lines[0].split() == ["1-0-0", "(default)", "canary"]
    [connected] = [line for line in lines if line.startswith("proxies connected")]
    assert "(1 gateway)" in connected


def test_a_name_that_is_none(mesh: Cluster) -> None:
    """Says which there are."""
    done = mesh.attempt("revision", "status", "nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no revision nope; there are: 1-0-0, canary" in done.stderr


async def test_a_canary_without_istiod_fails_the_check(mesh: Cluster, client: Client) -> None:
    """Nobody tells its proxies: a problem, with the command that shows more; and well again afterwards."""
    for replicas, code in ((0, 1), (1, 0)):
        scale = {"spec": {"replicas": replicas}}
        await client.patch(DEPLOYMENT, "istiod-canary", SYSTEM, scale)

        async def ready(wanted: int = replicas) -> bool:
            found = await client.get(DEPLOYMENT, "istiod-canary", SYSTEM)
            return (found["status"].get("readyReplicas") or 0) == wanted

        await until(ready)

        async def checked(wanted: int = code) -> bool:
            return mesh.attempt("revision", "status", "--check", "--window", "1").returncode == wanted

        await until(checked)
        if code:
            said = mesh.linnet("revision", "status", "canary", "--window", "1")
            assert "Deployment istiod-canary is scaled to 0: kubectl scale deployment" in said


async def test_h27_what_was_done_is_on_record(mesh: Cluster, client: Client) -> None:
    """Installations, tags, the default and the gateway moved, a command killed: all on record."""
    first, second = history(mesh)[:2]
    assert (first["command"], first["result"]) == ("install of revision 1-0-0", "done")
    whole = told(first)
    assert {(what, before) for what, before, _ in whole} == {
        ("revision 1-0-0", ""),
        ("default", ""),
        ("gateway istio-ingressgateway.istio-system", ""),
    }
    assert [what for what, _, _ in told(second)] == ["revision canary"]
    assert " on " in first["by"]
    assert first["version"]
    assert first["began"] <= first["ended"] <= second["began"]

    before = await client.get(CONFIG_MAP, "linnet-history", SYSTEM)
    mesh.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
    assert await client.get(CONFIG_MAP, "linnet-history", SYSTEM) == before, (
        "nothing changed, nothing is written"
    )

    count = len(history(mesh))
    mesh.linnet("tag", "set", "prod", "-r", "1-0-0")
    mesh.linnet("tag", "set", "prod", "-r", "canary", "--overwrite")
    mesh.linnet("tag", "set", "default", "-r", "canary", "--overwrite")
    mesh.linnet("gateway", "move", "--to", "canary")
    mesh.linnet("tag", "remove", "prod", "-y")
    assert killed(mesh, "tag", "set", "default", "-r", "1-0-0", "--overwrite", writes=3)
    mesh.linnet("tag", "set", "prod", "-r", "1-0-0")
    found = history(mesh)[count:]
    assert [(one["result"], told(one)) for one in found] == [
        ("done", [("tag prod", "", "1-0-0")]),
        ("done", [("tag prod", "1-0-0", "canary")]),
        ("done", [("default", "1-0-0", "canary")]),
        ("done", [("gateway istio-ingressgateway.istio-system", "1-0-0", "canary")]),
        ("done", [("tag prod", "canary", "")]),
        ("interrupted", [("default", "canary", "1-0-0")]),
        ("done", [("tag prod", "", "1-0-0")]),
    ]
    table = mesh.linnet("revision", "history", "--revision", "canary")
    assert "default: canary -> 1-0-0" in table
    assert "tag prod: none -> 1-0-0" not in table
    assert await stored(client, LEASE, "linnet-operation", SYSTEM) is None


def test_it_outlives_a_revision_and_goes_with_the_mesh(mesh: Cluster) -> None:
    """Uninstalled: the default and the gateway moved; purged: nothing is left."""
    mesh.linnet("uninstall", "--revision", "1-0-0", "-y", "--force")
    last = history(mesh)[-1]
    assert (last["command"], last["result"]) == ("uninstall revision 1-0-0", "done")
    assert ("default", "1-0-0", "canary") in told(last)
    assert [(what, after) for what, _, after in told(last) if what == "revision 1-0-0"] == [
        ("revision 1-0-0", "")
    ]
    mesh.linnet("uninstall", "--purge", "-y")
    assert mesh.linnet("revision", "history") == "Nothing is recorded.\n"
