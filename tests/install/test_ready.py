"""When a Deployment counts as rolled out, and what is said when it does not."""

from typing import Any

import pytest

from linnet.install.ready import deployment_verdict

pytestmark = pytest.mark.unit
DONE = {
    "observedGeneration": 2,
    "replicas": 1,
    "updatedReplicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
}


def verdict(*, paused: bool = False, wanted: int = 1, **status: int) -> str:
    """Of a Deployment whose status differs so from one that is rolled out."""
    obj: dict[str, Any] = {
        "metadata": {"name": "edge", "namespace": "shop", "generation": 2},
        "spec": {"replicas": wanted, "paused": paused},
        "status": DONE | status,
    }
    return deployment_verdict(obj)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({}, ""),
        ({"observedGeneration": 1}, "its newest revision has not been seen yet"),
        ({"updatedReplicas": 0}, "0 of 1 replicas updated"),
        ({"replicas": 2}, "1 old replicas left"),
        ({"readyReplicas": 0}, "0 of 1 replicas ready"),
        ({"availableReplicas": 0}, "0 of 1 replicas ready"),
    ],
)
def test_the_steps_of_a_rollout(status: dict[str, int], told: str) -> None:
    """It says how far the rollout is."""
    assert verdict(**status) == told


def test_nothing_is_wanted() -> None:
    """Scaled to nothing, it is ready when nothing is left."""
    nothing = dict.fromkeys(DONE.keys() - {"observedGeneration"}, 0)
    assert verdict(wanted=0, **nothing) == ""
    assert verdict(wanted=0, **nothing | {"replicas": 1}) == "1 old replicas left"


def test_a_paused_rollout_is_named_with_its_remedy() -> None:
    """It would wait for ever; one that has nothing to roll out is not in the way."""
    assert verdict(paused=True) == ""
    for status in ({"updatedReplicas": 0}, {"replicas": 2}):
        told = verdict(paused=True, **status)
        assert told == "its rollout is paused (kubectl -n shop rollout resume deployment edge)"
