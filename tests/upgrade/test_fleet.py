"""The gateways of the mesh, what moves each, and what a removal does with them."""

import json
from typing import Any

import pytest

from linnet.install.gateways import described, objects
from linnet.install.operator import resolve
from linnet.install.plane import Plane
from linnet.install.webhooks import default_tag, injector, tag
from linnet.kube.kinds import SERVICE
from linnet.upgrade.fleet import Gateway, Way, fleet
from linnet.upgrade.gateways import UnknownGateway, specs
from linnet.upgrade.health import dangling
from linnet.upgrade.injection import unknown
from linnet.upgrade.moving import MoveError, moves
from linnet.upgrade.retirement import plan
from linnet.upgrade.users import Observed, users

pytestmark = pytest.mark.unit

Object = dict[str, Any]
OLD, NEW = (resolve([], [f"revision={r}"], version="9").plane for r in ("1-0-0", "canary"))
HOOKS = [injector(OLD), injector(NEW), default_tag(OLD), tag(OLD, "prod")]
REV, INJECTION = "istio.io/rev", "istio-injection"


def entry(namespace: str, pod_labels: dict[str, str], **spec: Any) -> Object:
    """A user's Deployment with the gateway template."""
    meta = {"labels": {"istio": "entry"} | pod_labels}
    meta["annotations"] = {"inject.istio.io/templates": "gateway"}
    template = {"metadata": meta, "spec": {"containers": []}}
    spec = {"selector": {"matchLabels": {"istio": "entry"}}, "template": template} | spec
    named = {"name": "entry", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, "spec": spec}


def space(name: str, **labels: str) -> Object:
    """A namespace; `rev` and `injection` stand for the long keys."""
    keys = {"rev": REV, "injection": INJECTION}
    return {"metadata": {"name": name, "labels": {keys[k]: v for k, v in labels.items()}}}


def pod(name: str, namespace: str, revision: str) -> Object:
    """A pod of that Deployment, injected by a revision."""
    status = {"sidecar.istio.io/status": json.dumps({"revision": revision})}
    meta = {"name": name, "namespace": namespace, "labels": {"istio": "entry"}, "annotations": status}
    return {"metadata": meta, "spec": {"containers": []}, "status": {"phase": "Running"}}


def one(deployment: Object, namespace: Object, *revisions: str) -> Gateway:
    """The injected gateway, with pods of these revisions."""
    where = deployment["metadata"]["namespace"]
    pods = [pod(f"entry-{index}", where, revision) for index, revision in enumerate(revisions)]
    served = {f"entry-{index}.{where}": revision for index, revision in enumerate(revisions)}
    (found,) = fleet([deployment], pods, [namespace], HOOKS, served)
    return found


@pytest.mark.parametrize(
    ("labels", "namespace", "leads", "way", "told"),
    [
        ({REV: "1-0-0"}, {}, "1-0-0", Way.LABEL, "gateway move entry.shop --to canary"),
        ({"sidecar.istio.io/inject": "true"}, {}, "1-0-0", Way.LABEL, "gateway move entry.shop --to canary"),
        ({REV: "canary"}, {}, "canary", Way.RESTART, "gateway move entry.shop --to canary"),
        ({REV: "prod"}, {}, "1-0-0", None, "tag set prod --revision canary --overwrite"),
        ({}, {"rev": "1-0-0"}, "1-0-0", None, "label namespace shop istio.io/rev=canary --overwrite"),
        ({}, {"rev": "canary"}, "canary", Way.RESTART, "gateway move entry.shop --to canary"),
        ({}, {"rev": "prod"}, "1-0-0", None, "tag set prod --revision canary --overwrite"),
        ({REV: "canary"}, {"injection": "enabled"}, "1-0-0", None, "istio-injection- istio.io/rev=canary"),
        ({}, {}, "", None, "set the label istio.io/rev=canary on its pod template"),
    ],
)
def test_what_moves_an_injected_gateway(
    labels: dict[str, str], namespace: dict[str, str], leads: str, way: Way | None, told: str
) -> None:
    """Its own label or a restart where these decide; else the namespace's label or the tag, by name."""
    found = one(entry("shop", labels), space("shop", **namespace), "1-0-0")
    assert (found.next, found.served_by, found.way("canary")) == (leads, ("1-0-0",), way)
    assert told in found.remedy("canary")


def test_a_gateway_that_would_close() -> None:
    """Recreate ends all pods first: no command of ours does that to a gateway."""
    found = one(entry("shop", {REV: "1-0-0"}, strategy={"type": "Recreate"}), space("shop"), "1-0-0")
    assert found.way("canary") is None
    assert "Recreate" in found.remedy("canary")


def installed(plane: Plane) -> list[Object]:
    """The objects of a plane's gateways."""
    return [obj for gateway in plane.gateways for obj in objects(plane, gateway)]


def test_any_revision_can_render_a_gateway_from_its_record() -> None:
    """A gateway that only its own file described moves to a revision that has never heard of it."""
    sets = [
        f"components.ingressGateways[0].{field}" for field in ("name=edge", "namespace=edge", "enabled=true")
    ]
    plane = resolve([], ["revision=1-0-0", *sets], version="9").plane
    edge = next(gateway for gateway in plane.gateways if gateway.name == "edge")
    (found,) = fleet(objects(plane, edge), [], [], [], {})
    assert specs([found], NEW, []) == [edge]
    assert described("edge", "edge", "no json") is None
    bare = fleet([obj for obj in objects(plane, edge) if obj["kind"] == "Service"], [], [], [], {})
    with pytest.raises(UnknownGateway, match=r"describes the gateway edge\.edge; install it again"):
        specs(bare, NEW, [])
    assert specs(bare, NEW, [plane]) == [edge]


def test_which_gateways_a_move_is_about() -> None:
    """All that move by themselves, or those that are named; a name that is not there lists the others."""
    gateways = [
        *fleet(installed(OLD), [], [], [], {}),
        one(entry("own", {REV: "1-0-0"}), space("own"), "1-0-0"),
        one(entry("label", {}), space("label", rev="1-0-0"), "1-0-0"),
    ]
    chosen = moves(gateways, [], "canary", "istio-system")
    assert list(map(str, chosen.moved)) == ["istio-ingressgateway.istio-system", "entry.own"]
    assert list(map(str, chosen.left)) == ["entry.label"]
    assert len(moves(gateways, ["istio-ingressgateway", "entry.own"], "canary", "istio-system").moved) == 2
    with pytest.raises(MoveError, match=r"entry\.label follows its labels; what moves it: kubectl label"):
        moves(gateways, ["entry.label"], "canary", "istio-system")
    with pytest.raises(MoveError, match=r"there is no gateway entry .* there are: entry.own, entry.label"):
        moves(gateways, ["entry"], "canary", "istio-system")


def test_removal_hands_injected_gateways_over() -> None:
    """By label to who takes the others, by restart once the default moved; those are no users."""
    own = one(entry("own", {REV: "1-0-0"}), space("own"), "1-0-0")
    follows = one(entry("inj", {}), space("inj", injection="enabled"), "1-0-0")
    labelled = one(entry("label", {}), space("label", rev="1-0-0"), "1-0-0")
    made = plan(
        "1-0-0",
        present=["1-0-0", "canary"],
        default="1-0-0",
        objects={},
        gateways=[own, follows, labelled],
        hooks=HOOKS,
    )
    assert (made.heir, made.gateways_to) == ("canary", "canary")
    assert (made.gateways, made.restarts) == ((own,), (follows,))
    assert made.handed.workloads == {("own", "entry"), ("inj", "entry")}
    pods = [pod("entry-0", where, "1-0-0") for where in ("own", "inj", "label")]
    observed = Observed("istio-system", pods=pods, namespaces=[space("label", rev="1-0-0")])
    found = users(observed, "1-0-0", default_moves=True, handed=made.handed)
    assert [f"{user.kind} {user.name}" for user in found] == ["pod entry-0.label", "namespace label"]


def test_templates_that_are_scaled_to_nothing() -> None:
    """Their next pod would need the revision; what is over or belongs to another object would not."""

    def made(kind: str, name: str, labels: dict[str, str], **more: Any) -> Object:
        template = {"metadata": {"labels": labels}, "spec": more.pop("pod", {"containers": []})}
        spec = {"template": template, "replicas": more.pop("replicas", 0)}
        if kind == "CronJob":
            spec = {"jobTemplate": {"spec": spec}}
        return {"kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec, **more}

    address = {"name": "CA_ADDR", "value": "istiod-1-0-0.istio-system.svc:15012"}
    by_hand = {"containers": [{"name": "istio-proxy", "env": [address]}]}
    over = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    workloads = [
        made("Deployment", "asleep", {REV: "1-0-0"}),
        made("StatefulSet", "tagged", {REV: "prod"}, replicas=2),
        made("CronJob", "nightly", {REV: "1-0-0"}),
        made("DaemonSet", "by-hand", {}, pod=by_hand),
        made("Job", "over", {REV: "1-0-0"}, **over),
        made("Deployment", "elsewhere", {REV: "canary"}),
    ]
    observed = Observed("istio-system", workloads=workloads, injectors=HOOKS, namespaces=[space("shop")])
    found = users(observed, "1-0-0", default_moves=True)
    assert [f"{user.kind} {user.name}: {user.why}" for user in found if user.kind != "tag"] == [
        "cronjob nightly.shop: the label istio.io/rev of its template names it",
        "daemonset by-hand.shop: its template holds a proxy of it",
        "deployment asleep.shop: the label istio.io/rev of its template names it (0 replicas)",
        "statefulset tagged.shop: the label istio.io/rev of its template names it (2 replicas)",
    ]


def test_webhooks_that_would_call_nobody() -> None:
    """The old shared validator goes with the Service; by force, tags do too; of the rest the check tells."""
    service: Object = {
        "kind": "Service",
        "metadata": {
            "name": "istiod-1-0-0",
            "namespace": "istio-system",
            "labels": {REV: "1-0-0", "operator.istio.io/component": "Pilot"},
        },
    }
    call = {"clientConfig": {"service": {"name": "istiod-1-0-0", "namespace": "istio-system"}}}
    legacy: Object = {
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "istiod-istio-system", "labels": {"app": "istiod", "istio": "istiod"}},
        "webhooks": [{"name": "validation.istio.io", **call}],
    }

    def callers(**more: bool) -> list[str]:
        made = plan(
            "1-0-0",
            present=["1-0-0", "canary"],
            default="canary",
            objects={SERVICE: [service]},
            hooks=[*HOOKS, legacy],
            **more,
        )
        return sorted(item.name for item in made.callers)

    assert callers() == ["istiod-istio-system"]
    assert "istio-revision-tag-prod" in callers(force=True)
    left = dangling([legacy, tag(NEW, "x")], [], "istio-system")
    assert {entry.webhook for entry in left} == {"istiod-istio-system", "istio-revision-tag-x"}
    assert dangling([legacy], [service], "istio-system") == []
    assert "calls Service istiod-1-0-0.istio-system, which does not exist" in str(left[-1])


def test_labels_that_name_nobody() -> None:
    """A namespace that names a revision or tag is served, one with a typing error is not."""
    spaces = [space("a", rev="canary"), space("b", rev="prod"), space("c", rev="canry"), space("d")]
    assert unknown(HOOKS, spaces) == [("c", "canry")]
