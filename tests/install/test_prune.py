"""What goes with a new installation of the same revision, and what never does (pure)."""

from collections.abc import Callable
from typing import Any

import pytest

from linnet.install import pilot
from linnet.install.marks import MANAGER
from linnet.install.plane import Plane
from linnet.install.prune import leftovers
from linnet.install.webhooks import default_validator

pytestmark = pytest.mark.unit
Object = dict[str, Any]


def live(obj: Object, manager: str = MANAGER, *, name: str = "") -> Object:
    """An object as the API server shows what a manager applied."""
    meta = {**obj["metadata"], "managedFields": [{"manager": manager, "operation": "Apply"}]}
    return {**obj, "metadata": meta | ({"name": name} if name else {})}


def test_leftovers(plane: Callable[..., Plane]) -> None:
    """An autoscaler that nobody wants, an object of an older version; not what is shared or copied."""
    old, new = plane("a"), plane("a", "values.pilot.autoscaleEnabled=false")
    wanted = pilot.objects(new)
    scaler = pilot.autoscaler(old)
    of_older = live(pilot.mesh_config(old), name="istio-a-of-an-older-version")
    stays = [
        live(scaler, name="mine"),
        live(pilot.mesh_config(old), "kubectl-client-side-apply", name="copied"),
        live(default_validator(old)),
        *map(live, wanted),
    ]
    for applied_by in (MANAGER, "kubectl-client-side-apply"):
        goes = [live(scaler, applied_by), of_older]
        assert leftovers([*goes, *stays], wanted, ["istiod-a"]) == goes


def test_a_gateway_is_never_pruned(plane: Callable[..., Plane]) -> None:
    """Only what scales it."""
    from linnet.install import gateways

    made = plane("a")
    (gateway,) = made.gateways
    objects = [live(obj) for obj in gateways.objects(made, gateway)]
    gone = leftovers(objects, [], ["istiod-a", "istio-ingressgateway"])
    assert [obj["kind"] for obj in gone] == ["HorizontalPodAutoscaler"]
    assert leftovers(objects, [], ["istiod-a"]) == []
