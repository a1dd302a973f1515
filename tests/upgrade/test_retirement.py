"""What removing a revision takes: who takes over, and what goes in which order."""

from collections.abc import Sequence
from typing import Any

import pytest

from linnet.control_plane.locks import own_status
from linnet.control_plane.settings import Settings
from linnet.install.operator import resolve
from linnet.install.plane import Plane
from linnet.install.ready import kind_of
from linnet.install.render import components, default_objects
from linnet.kube.kinds import LEASE, Kind
from linnet.upgrade.fleet import Gateway, fleet
from linnet.upgrade.retirement import ORDER, Plan, RetireError, everything, plan

pytestmark = pytest.mark.unit

Object = dict[str, Any]


def plane(revision: str) -> Plane:
    """The default profile with a revision."""
    return resolve([], [f"revision={revision}"], version="9").plane


def cluster(*revisions: str, gateways: str, default: str) -> dict[Kind, list[Object]]:
    """The objects of several revisions, the gateways served by one, the default tag by one."""
    found: dict[tuple[str, str], Object] = {}
    for revision in revisions:
        made = plane(revision)
        for component in components(made, []):
            if component.name != "IngressGateways" or revision == gateways:
                found |= {(o["kind"], o["metadata"]["name"]): o for o in component.objects}
        if revision == default:
            found |= {(o["kind"], o["metadata"]["name"]): o for o in default_objects(made)}
    by_kind: dict[Kind, list[Object]] = {}
    for obj in found.values():
        by_kind.setdefault(kind_of(obj), []).append(obj)
    return by_kind


def made(
    objects: dict[Kind, list[Object]],
    revision: str,
    present: list[str],
    default: str,
    pods: Sequence[Object] = (),
    **more: Any,
) -> Plan:
    """The plan."""
    gateways = fleet([obj for found in objects.values() for obj in found], pods, [], [], {})
    return plan(revision, present=present, default=default, objects=objects, gateways=gateways, **more)


def names(gateways: Sequence[Gateway]) -> list[str]:
    """Their names."""
    return [gateway.name for gateway in gateways]


def test_the_guide_forward() -> None:
    """The old default goes, the canary that serves the gateways becomes the default."""
    objects = cluster("1-0-0", "canary", gateways="canary", default="1-0-0")
    found = made(objects, "1-0-0", ["1-0-0", "canary"], "1-0-0")
    assert (found.heir, found.drops_default, found.gateways, found.gateways_to) == ("canary", False, (), "")
    removed = {item.name for item in found.removed}
    assert "istiod-1-0-0" in removed
    assert not any("canary" in name or "ingressgateway" in name or "default" in name for name in removed)


def test_the_guide_back() -> None:
    """The canary goes: gateways return, the default stays where it is."""
    objects = cluster("1-0-0", "canary", gateways="canary", default="1-0-0")
    found = made(objects, "canary", ["1-0-0", "canary"], "1-0-0")
    assert (found.heir, found.gateways_to, found.removes_gateways) == ("", "1-0-0", False)
    assert not any("ingressgateway" in item.name for item in found.removed)


def test_exactly_the_unrevisioned_plane() -> None:
    """`-f` with a file that names no revision takes nothing of another one."""
    objects = cluster("default", "canary", gateways="canary", default="default")
    found = made(objects, "default", ["default", "canary"], "default")
    assert found.heir == "canary"
    removed = {(item.kind.name, item.name) for item in found.removed}
    assert ("Deployment", "istiod") in removed
    assert ("MutatingWebhookConfiguration", "istio-sidecar-injector") in removed
    assert not any("canary" in name for _, name in removed)


def test_the_last_one_takes_gateways_and_default_along() -> None:
    """Nobody is left: the default goes first, gateways go with the revision, shared objects stay."""
    objects = cluster("1-0-0", gateways="1-0-0", default="1-0-0")
    found = made(objects, "1-0-0", ["1-0-0"], "1-0-0")
    assert (found.drops_default, found.heir, found.removes_gateways) == (True, "", True)
    removed = {item.name for item in found.removed}
    assert "istio-ingressgateway" in removed
    assert "istio-reader-service-account" not in removed


def test_order_is_safe() -> None:
    """Webhooks before Services, Services before Deployments, permissions last."""
    objects = cluster("1-0-0", "canary", gateways="canary", default="1-0-0")
    kinds = [item.kind.name for item in made(objects, "1-0-0", ["1-0-0", "canary"], "1-0-0").removed]
    assert kinds == sorted(kinds, key=[kind.name for kind in ORDER].index)
    assert kinds.index("ValidatingWebhookConfiguration") < kinds.index("Service") < kinds.index("Deployment")
    assert kinds.index("Deployment") < kinds.index("ClusterRole") < kinds.index("ServiceAccount")


def test_several_left_need_an_answer() -> None:
    """The default never moves by guess."""
    objects = cluster("a", "b", "c", gateways="b", default="a")
    with pytest.raises(RetireError, match=r"--new-default b\|c"):
        made(objects, "a", ["a", "b", "c"], "a")
    assert made(objects, "a", ["a", "b", "c"], "a", new_default="c").heir == "c"


def test_gateways_go_to_the_default_among_several() -> None:
    """Of several that are left, the default takes the gateways, unless told otherwise."""
    objects = cluster("a", "b", "c", gateways="c", default="a")
    assert made(objects, "c", ["a", "b", "c"], "a").gateways_to == "a"
    assert made(objects, "c", ["a", "b", "c"], "a", gateways_to="b").gateways_to == "b"


@pytest.mark.parametrize("more", [{"new_default": "x"}, {"gateways_to": "x"}, {"gateways_to": "canary"}])
def test_takers_must_exist(more: dict[str, str]) -> None:
    """Somebody who is not there, or who goes, cannot take over."""
    objects = cluster("1-0-0", "canary", gateways="canary", default="1-0-0")
    with pytest.raises(RetireError, match="there is no such other revision"):
        made(objects, "canary", ["1-0-0", "canary"], "1-0-0", **more)


def test_unknown_revision() -> None:
    """The error lists those that are there."""
    objects = cluster("1-0-0", gateways="1-0-0", default="1-0-0")
    with pytest.raises(RetireError, match="could not find target revision nope; there are: 1-0-0"):
        made(objects, "nope", ["1-0-0"], "1-0-0")


@pytest.mark.parametrize("step", range(len(ORDER)))
def test_an_interrupted_removal_goes_on(step: int) -> None:
    """Killed after any kind of object, the same command removes the rest and nothing else."""
    objects = cluster("1-0-0", "canary", gateways="canary", default="canary")
    whole = made(objects, "1-0-0", ["1-0-0", "canary"], "canary").removed
    gone = set(ORDER[:step])
    left = {
        kind: [o for o in found if kind not in gone or o["metadata"]["labels"].get("istio.io/rev") != "1-0-0"]
        for kind, found in objects.items()
    }
    expected = tuple(item for item in whole if item.kind not in gone)
    if not expected:
        return
    assert made(left, "1-0-0", ["canary"], "canary").removed == expected


@pytest.mark.parametrize("left", ["Service", "Pod"])
def test_an_interrupted_hand_over_goes_on(left: str) -> None:
    """The Deployment has moved already, and something else of the gateway has not."""
    objects = cluster("1-0-0", "canary", gateways="1-0-0", default="1-0-0")
    pods = []
    if left == "Service":
        services = next(found for kind, found in objects.items() if kind.name == "Service")
        (gateway,) = [o for o in services if o["metadata"]["name"] == "istio-ingressgateway"]
        gateway["metadata"]["labels"]["istio.io/rev"] = "canary"
    else:
        labels = {
            "operator.istio.io/component": "IngressGateways",
            "istio.io/rev": "canary",
            "service.istio.io/canonical-name": "istio-ingressgateway",
        }
        pods = [{"metadata": {"name": "gw-1", "labels": labels}}]
    found = made(objects, "canary", ["1-0-0", "canary"], "1-0-0", pods)
    assert (names(found.gateways), found.gateways_to) == (["istio-ingressgateway"], "1-0-0")


def test_user_made_service_of_the_guide_goes_with_its_revision() -> None:
    """The copied Service `istiod` carries the canary's labels, and goes when the canary goes."""
    objects = cluster("1-0-0", "canary", gateways="1-0-0", default="1-0-0")
    services = next(found for kind, found in objects.items() if kind.name == "Service")
    (copied,) = [o for o in services if o["metadata"]["name"] == "istiod-canary"]
    services.append({**copied, "metadata": {**copied["metadata"], "name": "istiod"}})
    removed = {
        revision: {i.name for i in made(objects, revision, ["1-0-0", "canary"], "1-0-0").removed}
        for revision in ("1-0-0", "canary")
    }
    assert "istiod" in removed["canary"]
    assert "istiod" not in removed["1-0-0"]


def test_a_tag_whose_service_is_gone_already_goes_by_force() -> None:
    """Somebody deleted istiod's Service by hand: what calls it still goes with the revision."""
    objects = cluster("1-0-0", "canary", gateways="1-0-0", default="1-0-0")
    services = next(found for kind, found in objects.items() if kind.name == "Service")
    services[:] = [o for o in services if o["metadata"]["name"] != "istiod-canary"]
    hook = {
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "istio-revision-tag-prod", "labels": {"istio.io/tag": "prod"}},
        "webhooks": [{"clientConfig": {"service": {"namespace": "istio-system", "name": "istiod-canary"}}}],
    }
    found = made(objects, "canary", ["1-0-0", "canary"], "1-0-0", hooks=[hook], force=True)
    assert [item.name for item in found.callers] == ["istio-revision-tag-prod"]


def test_the_lock_of_a_revision_goes_last() -> None:
    """Its own Lease, under the name that its istiods use, and not that of another revision."""
    objects = cluster("1-0-0", "canary", gateways="1-0-0", default="1-0-0")
    objects[LEASE] = [
        {
            "kind": "Lease",
            "metadata": {"name": own_status(Settings(revision=revision)).name, "namespace": "istio-system"},
        }
        for revision in ("canary", "1-0-0")
    ]
    removed = made(objects, "canary", ["1-0-0", "canary"], "1-0-0").removed
    assert [item.name for item in removed if item.kind == LEASE] == ["istio-status-leader-canary"]
    assert removed[-1].kind == LEASE


def test_purge_takes_everything() -> None:
    """All revisions, shared objects and the default tag."""
    objects = cluster("1-0-0", "canary", gateways="canary", default="1-0-0")
    assert {item.name for item in everything(objects)} >= {
        "istiod-1-0-0",
        "istiod-canary",
        "istio-ingressgateway",
        "istio-revision-tag-default",
        "istiod-default-validator",
    }
