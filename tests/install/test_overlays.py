"""Overlays change exactly what they name, or say what does not fit."""

import json
from typing import Any

import pytest

from linnet.install import gateways, pilot
from linnet.install.operator import InputError, resolve
from linnet.install.overlays import OverlayError, overlaid
from linnet.install.plane import Plane

pytestmark = pytest.mark.unit
HEAD = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n"


def thing() -> dict[str, Any]:
    """A small Deployment."""
    containers = [{"name": "discovery", "args": ["discovery", "--x"]}, {"name": "other"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istiod", "annotations": {"a.b/c": "1"}},
        "spec": {"containers": containers},
    }


def patched(path: str, **value: object) -> dict[str, Any]:
    """The Deployment with one patch; without `value` it removes."""
    entry = {"kind": "Deployment", "name": "istiod", "patches": [{"path": path, **value}]}
    before = thing()
    (after,) = overlaid([before], {"overlays": [entry]}, "k8s")
    assert before == thing(), "objects are values"
    return after


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        ("spec.paused", True, ("spec", "paused"), True),
        ("spec.template.x", 1, ("spec", "template"), {"x": 1}),
        ("spec.containers.[name:discovery].args.[-1]", "--y", ("spec", "containers", 0, "args", 2), "--y"),
        ("spec.containers[name:discovery].args[0]", "d", ("spec", "containers", 0, "args", 0), "d"),
        ("spec.containers.[name:discovery].args.[:--x]", "-z", ("spec", "containers", 0, "args", 1), "-z"),
        ("spec.containers.[1]", {"name": "b"}, ("spec", "containers", 1), {"name": "b"}),
        (r"metadata.annotations.a\.b/c", "2", ("metadata", "annotations", "a.b/c"), "2"),
    ],
)
def test_a_value_is_set(path: str, value: object, where: tuple[str | int, ...], expected: object) -> None:
    """By key, by a field of an element, by value, by number, and at the end of a list."""
    here: Any = patched(path, value=value)
    for step in where:
        here = here[step]
    assert here == expected


@pytest.mark.parametrize("path", [r"metadata.annotations.a\.b/c", "spec.containers.[name:other]"])
def test_without_a_value_it_goes(path: str) -> None:
    """A key of a mapping, an element of a list."""
    after = patched(path)
    gone = {"annotations": {}} if "annotations" in path else {"annotations": {"a.b/c": "1"}}
    assert after["metadata"] == {"name": "istiod", **gone}
    assert len(after["spec"]["containers"]) == (1 if "containers" in path else 2)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", "is no path"),
        ("spec..x", "is no path"),
        ("spec.[x", "is no path"),
        ("spec.containers.[name:none].args", "no element of the list is [name:none]"),
        ("spec.containers.[7]", "there is no [7], the list has 2 elements"),
        ("spec.containers.name", "name is below something that has no fields"),
        ("spec.[0]", "[0] is below something that is no list"),
        ("spec.none", "there is nothing to remove"),
        ("spec.containers.[-1].args", "nothing is below it"),
    ],
)
def test_what_does_not_fit_is_named(path: str, told: str) -> None:
    """With the number of the overlay and of the patch."""
    with pytest.raises(OverlayError, match=r"k8s.overlays\[0\].patches\[0\].path") as raised:
        patched(path)
    assert told in str(raised.value)


def plane(text: str, revision: str) -> Plane:
    """A plane from a file."""
    return resolve([("f.yaml", HEAD + text)], [], version="1", revision=revision).plane


OVERLAY = """\
spec:
  components:
    pilot:
      k8s:
        replicaCount: 3
        hpaSpec: {minReplicas: 2, behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}
        podDisruptionBudget: {maxUnavailable: 1}
        serviceAnnotations: {a: b}
        volumes: [{name: more, emptyDir: {}}]
        volumeMounts: [{name: more, mountPath: /more}]
        overlays:
        - {kind: Deployment, name: istiod-old, patches: [{path: spec.revisionHistoryLimit, value: 2}]}
        - {kind: ConfigMap, name: istio-old, patches: [{path: data.more, value: x}]}
    ingressGateways:
    - name: istio-ingressgateway
      enabled: true
      k8s:
        podDisruptionBudget: {minAvailable: 50%}
        overlays:
        - kind: Deployment
          name: istio-ingressgateway
          patches: [{path: spec.template.spec.terminationGracePeriodSeconds, value: 120}]
"""


@pytest.mark.parametrize("revision", ["old", "new", "default"])
def test_of_every_component(revision: str) -> None:
    """A name with another revision means the same object; what k8s says of scaling and budgets holds."""
    made = plane(OVERLAY, revision)
    found = {(obj["kind"], obj["metadata"]["name"]): obj for obj in pilot.objects(made)}
    deployment = found["Deployment", made.service]["spec"]
    assert (deployment["revisionHistoryLimit"], deployment["replicas"]) == (2, 3)
    assert deployment["template"]["spec"]["volumes"][-1]["name"] == "more"
    assert deployment["template"]["spec"]["containers"][0]["volumeMounts"][-1]["mountPath"] == "/more"
    assert found["ConfigMap", made.named("istio")]["data"]["more"] == "x"
    scaler = found["HorizontalPodAutoscaler", made.service]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"], "behavior" in scaler) == (2, 5, True)
    budget = found["PodDisruptionBudget", made.service]["spec"]
    assert (budget["maxUnavailable"], "minAvailable" in budget) == (1, False)
    assert found["Service", made.service]["metadata"]["annotations"] == {"a": "b"}
    entry = {obj["kind"]: obj for obj in gateways.objects(made, made.gateways[0])}
    assert entry["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 120
    assert entry["PodDisruptionBudget"]["spec"]["minAvailable"] == "50%"


@pytest.mark.parametrize(
    ("grace", "path", "drain"),
    [(30, "/drain", None), (120, "/drain?grace=120", "138s"), (0, "/drain?grace=0", "1s")],
)
def test_a_gateways_drain_fits_its_grace_period(grace: int, path: str, drain: str | None) -> None:
    """The hook knows how long it may take, and Envoy warns long streams before it is over."""
    sets = [f"values.gateways.istio-ingressgateway.terminationGracePeriodSeconds={grace}"]
    made = resolve([], sets, version="1").plane
    (deployment,) = (obj for obj in gateways.objects(made, made.gateways[0]) if obj["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["lifecycle"]["preStop"]["httpGet"]["path"] == path
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert json.loads(env.get("PROXY_CONFIG") or "{}").get("drainDuration") == drain


def test_an_overlay_of_nothing() -> None:
    """The message says which objects there are."""
    text = "spec: {components: {pilot: {k8s: {overlays: [{kind: Deployment, name: pilot}]}}}}"
    with pytest.raises(OverlayError, match=r"no Deployment pilot; it has: .*Deployment istiod-new"):
        pilot.objects(plane(text, "new"))


@pytest.mark.parametrize("entry", ["x", "{kind: Deployment}", "{kind: A, name: b, patches: [{value: 1}]}"])
def test_the_form_of_an_overlay(entry: str) -> None:
    """Checked with the file that it is in."""
    text = f"spec: {{components: {{pilot: {{k8s: {{overlays: [{entry}]}}}}}}}}"
    with pytest.raises(InputError, match=r"f.yaml: spec.components.pilot.k8s.overlays: expected a list of"):
        plane(text, "new")
