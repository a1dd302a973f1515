"""An uninstall that dies after any of its writes leaves a cluster that works, and is completed."""

import os
from collections.abc import Iterator

import pytest
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster
from tests.e2e.killing import killed, ready_endpoints, works

from linnet.kube.client import Client
from linnet.upgrade.look import look

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), NEEDS_ROOT]
SPACE = "shop"
GATEWAY = ("istio-system", "istio-ingressgateway")


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A cluster with 1-0-0 as the default, and a namespace that it injects."""
    with cluster() as made:
        made.linnet("install", "--set", "revision=1-0-0", "-y")
        made.linnet("kubectl", "create", "namespace", SPACE)
        made.linnet("kubectl", "label", "namespace", SPACE, "istio-injection=enabled")
        yield made


@pytest.mark.parametrize(("leaving", "staying", "writes"), [("canary", "1-0-0", 3), ("1-0-0", "canary", 5)])
async def test_killed_after_every_write(
    mesh: Cluster, client: Client, leaving: str, staying: str, writes: int
) -> None:
    """The canary goes and its gateways return; then, with another canary, the default itself goes.

    Each command gets some writes further than the one before; LINNET_KILL_EVERY=1 takes single steps.
    """
    writes = int(os.environ.get("LINNET_KILL_EVERY", writes))
    mesh.linnet("install", "--set", "revision=canary", "-y")
    assert await ready_endpoints(client, *GATEWAY) == 1
    mesh.linnet("gateway", "move", "--to", leaving)
    deaths = 0
    command = ("x", "uninstall", "--revision", leaving)
    while killed(mesh, *command, writes=writes, nothing="could not find target revision"):
        deaths += 1
        assert await works(client, SPACE) <= {leaving, staying}
        assert await ready_endpoints(client, *GATEWAY) >= 1
    assert deaths * writes >= 15, "every object of the revision is a write"
    assert await works(client, SPACE) == {staying}
    left = await look(client, "istio-system")
    assert (left.present, left.default) == ((staying,), staying)
    assert [gateway.served_by for gateway in left.gateways] == [(staying,)]
    names = [obj["metadata"]["name"] for found in left.objects.values() for obj in found]
    assert [name for name in names if leaving in name] == []


def test_the_plan_of_a_dry_run_is_what_happens(mesh: Cluster) -> None:
    """Each object that it names goes, in that order, and no other."""
    mesh.linnet("install", "--set", "revision=other", "-y")
    planned = mesh.linnet("uninstall", "--revision", "other", "--dry-run")
    done = mesh.linnet("uninstall", "--revision", "other")
    wanted = [line.split()[3:5] for line in planned.splitlines() if "Not pruning object" in line]
    removed = [line.split()[1:3] for line in done.splitlines() if line.startswith("  Removed")]
    assert removed == [[version, f"{name}."] for version, name in wanted]
    assert len(removed) > 10
    assert "Gateways istio-ingressgateway move to revision" in planned
    assert ".." not in "".join(line for line in done.splitlines() if line.startswith("  Removed"))


def test_killed_after_its_last_write(mesh: Cluster) -> None:
    """There is nothing left to do: the same command says so and succeeds; a further one finds no revision."""
    mesh.linnet("install", "--set", "profile=minimal", "--set", "revision=last", "-y")
    command = ("uninstall", "--revision", "last")
    planned = mesh.linnet(*command, "--dry-run").splitlines()
    objects = sum("Not pruning object" in line and "Kind=Lease/" not in line for line in planned)
    assert killed(mesh, *command, writes=objects + 1), "after the record of it was written"
    assert "Nothing of revision last is left" in mesh.linnet(*command)
    for revision in ("last", "never"):
        refused = mesh.attempt("uninstall", "--revision", revision)
        assert refused.returncode == 1
        assert f"could not find target revision {revision}" in refused.stderr
