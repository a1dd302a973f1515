"""A rollout never has fewer pods available, nor more pods, than the Deployment allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.local.controllers import rollout
from linnet.local.controllers.rollout import Scale

pytestmark = pytest.mark.unit


def deployment(replicas, *, strategy="RollingUpdate", surge="25%", unavailable="25%", **spec):
    how = {"type": strategy}
    if strategy == "RollingUpdate":
        how["rollingUpdate"] = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "strategy": how, **spec}}


def replica_set(name, replicas, *, available=None, pods=None, age=0):
    return {
        "metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:{59 - age:02}Z"},
        "spec": {"replicas": replicas},
        "status": {
            "replicas": replicas if pods is None else pods,
            "availableReplicas": replicas if available is None else available,
        },
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", (1, 1)),
        (1, "25%", "25%", (1, 0)),
        (10, "25%", "25%", (3, 2)),
        (3, 0, 0, (0, 1)),
        (2, 1, 0, (1, 0)),
    ],
)
def test_bounds(replicas, surge, unavailable, expected):
    """Surge rounds up, unavailable down, and both are never zero."""
    assert rollout.bounds(deployment(replicas, surge=surge, unavailable=unavailable)) == expected


def test_first_the_new_grows_then_the_old_shrinks():
    """With surge one, the new set starts with one pod, and the old loses one only when it is available."""
    wanted = deployment(2, surge=1, unavailable=0)
    old = replica_set("old", 2, age=9)
    assert rollout.first_size(wanted, [old]) == 1
    assert rollout.steps(wanted, replica_set("new", 1, available=0), [old]) == []
    assert rollout.steps(wanted, replica_set("new", 1), [old]) == [Scale("old", 1)]
    assert rollout.steps(wanted, replica_set("new", 1), [replica_set("old", 1)]) == [Scale("new", 2)]


def test_pods_that_never_served_go_first():
    """A failed rollout's unavailable pods are removed before any that serve."""
    wanted = deployment(4, surge=1, unavailable=1)
    steps = rollout.steps(
        wanted,
        replica_set("new", 1, available=0),
        [replica_set("bad", 1, available=0, age=1), replica_set("good", 3, age=9)],
    )
    assert steps == [Scale("bad", 0)]


def test_recreate_waits_for_the_last_old_pod():
    """Recreate starts nothing while an old pod is there."""
    wanted = deployment(2, strategy="Recreate")
    assert rollout.steps(wanted, replica_set("new", 0), [replica_set("old", 2)]) == [Scale("old", 0)]
    assert rollout.steps(wanted, replica_set("new", 0), [replica_set("old", 0, pods=1)]) == []
    assert rollout.steps(wanted, replica_set("new", 0), [replica_set("old", 0)]) == [Scale("new", 2)]


def test_paused_only_scales():
    """A paused Deployment keeps its template where it is, but follows its size."""
    wanted = deployment(5, paused=True)
    assert rollout.steps(wanted, None, [replica_set("old", 2)]) == [Scale("old", 5)]


@given(
    replicas=st.integers(0, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    readiness=st.lists(st.booleans(), max_size=60),
)
def test_a_rollout_ends_and_keeps_its_promises(replicas, surge, unavailable, readiness):
    """However pods become ready, the bounds hold at every step and the rollout ends."""
    wanted = deployment(replicas, surge=surge, unavailable=min(unavailable, replicas))
    up, down = rollout.bounds(wanted)
    old = replica_set("old", replicas, age=9)
    new = replica_set("new", rollout.first_size(wanted, [old]), available=0)
    for ready in [*readiness, *[True] * 60]:
        for step in rollout.steps(wanted, new, [old]):
            found = new if step.name == "new" else old
            found["spec"]["replicas"] = found["status"]["replicas"] = step.replicas
            found["status"]["availableReplicas"] = min(found["status"]["availableReplicas"], step.replicas)
        total = new["spec"]["replicas"] + old["spec"]["replicas"]
        serving = new["status"]["availableReplicas"] + old["status"]["availableReplicas"]
        assert total <= replicas + up
        assert serving >= replicas - down
        if ready:
            new["status"]["availableReplicas"] = new["spec"]["replicas"]
    assert (new["spec"]["replicas"], old["spec"]["replicas"]) == (replicas, 0)


def test_history_keeps_the_newest():
    """Only sets at rest are pruned, oldest revision first."""
    sets = [replica_set(f"r{n}", 0) for n in range(4)]
    for number, found in enumerate(sets):
        found["metadata"]["annotations"] = {rollout.REVISION: str(number + 1)}
    pruned = rollout.history_to_prune(deployment(1, revisionHistoryLimit=2), sets)
    assert [found["metadata"]["name"] for found in pruned] == ["r0", "r1"]


def test_a_rescaled_rollout_goes_on():
    """Sets that were sized for another wish are told the new one even where their size is right already."""
    wanted = deployment(1)
    sets = [replica_set("first", 1, age=9), replica_set("second", 1, age=5)]
    for found, desired in zip(sets, ("1", "2"), strict=True):
        found["metadata"]["annotations"] = {rollout.DESIRED: desired}
    new = replica_set("new", 0)
    assert rollout.steps(wanted, new, sets) == [Scale("second", 1)]
    sets[1]["metadata"]["annotations"] = {rollout.DESIRED: "1"}
    assert rollout.steps(wanted, new, sets) == [Scale("first", 0)]
