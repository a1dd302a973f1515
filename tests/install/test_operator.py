"""What a user asks for becomes one specification, or an error that names the field."""

import re

import pytest

from linnet.install.operator import InputError, profile_names, resolve
from linnet.install.tree import PathError, assign, overlay, parse_assignment, parse_path

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("hub", ("hub",)),
        ("values.global.hub", ("values", "global", "hub")),
        ("components.ingressGateways[0].enabled", ("components", "ingressGateways", 0, "enabled")),
        ("components.ingressGateways.[0].enabled", ("components", "ingressGateways", 0, "enabled")),
        (r"meshConfig.labels.app\.name", ("meshConfig", "labels", "app.name")),
    ],
)
def test_paths(text: str, steps: tuple[str | int, ...]) -> None:
    """Dots separate keys, brackets index lists, a backslash keeps a dot."""
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=true", True),
        ("a=12", 12),
        ("a=1.5", 1.5),
        ("a=1-0-0", "1-0-0"),
        ("tag=1.10", "1.10"),
        ("revision=12", "12"),
        ("a={x,y}", ["x", "y"]),
        ('a={"x": 1}', {"x": 1}),
        ("a=b=c", "b=c"),
        ("a=", ""),
    ],
)
def test_values(text: str, value: object) -> None:
    """Values are typed as YAML would, except where they are names."""
    assert parse_assignment(text)[1] == value


@pytest.mark.parametrize("text", ["novalue", "a..[x]=1", 'a={"x":'])
def test_unreadable_assignments(text: str) -> None:
    """What cannot be read is refused."""
    with pytest.raises(PathError):
        parse_assignment(text)


def test_assignment_below_a_scalar_is_refused() -> None:
    """A path through a value that has no fields is an error, not an overwrite."""
    with pytest.raises(PathError):
        assign({"hub": "x"}, ("hub", "deep"), 1)


def test_named_lists_merge_by_name() -> None:
    """An overlay of a gateway changes that gateway and keeps the others."""
    base = {"g": [{"name": "a", "enabled": True}, {"name": "b", "enabled": False}]}
    assert overlay(base, {"g": [{"name": "b", "enabled": True}]}) == {
        "g": [{"name": "a", "enabled": True}, {"name": "b", "enabled": True}]
    }


def test_precedence() -> None:
    """Profile, then files in order, then --set in order, then --revision."""
    head = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n"
    files = [("a", head + "spec: {hub: one, tag: a}"), ("b", head + "spec: {hub: two, revision: x}")]
    plane = resolve(files, ["hub=three", "hub=four"], version="9", revision="canary").plane
    assert (plane.hub, plane.tag, plane.revision, plane.profile) == ("four", "a", "canary", "default")


@pytest.mark.parametrize(
    ("sets", "pilot", "proxy"),
    [
        (["tag=1.2"], "1.2", "1.2"),
        (["tag=1.2-envoy-1.38"], "1.2", "1.2-envoy-1.38"),
        (["tag=1.2", "components.pilot.tag=x-envoy-1.38"], "x-envoy-1.38", "1.2"),
        (["values.pilot.tag=y"], "y", "9"),
    ],
)
def test_tags_of_images(sets: list[str], pilot: str, proxy: str) -> None:
    """The Envoy that a tag names is that of the proxies; istiod is the same with each."""
    plane = resolve([], sets, version="9").plane
    assert (plane.pilot_tag, plane.image("proxyv2")) == (pilot, f"linnet/proxyv2:{proxy}")


@pytest.mark.parametrize("sets", [["revision=canary"], ["values.revision=canary"]])
def test_revision_spellings(sets: list[str]) -> None:
    """The revision may be given in the specification or in the values."""
    plane = resolve([], sets, version="9").plane
    assert (plane.revision, plane.service, plane.value("revision")) == ("canary", "istiod-canary", "canary")


@pytest.mark.parametrize("revision", [None, "default"])
@pytest.mark.parametrize("sets", [[], ["revision=default"]])
def test_default_is_the_empty_revision(revision: str | None, sets: list[str]) -> None:
    """`default` means no revision, by flag and by --set."""
    plane = resolve([], sets, version="9", revision=revision).plane
    assert (plane.revision, plane.revision_name, plane.service) == ("", "default", "istiod")


@pytest.mark.parametrize("name", ["1.6.8", "-a", "a-", "Canary", "x" * 57, "", "a_b"])
def test_revision_names_that_kubernetes_refuses(name: str) -> None:
    """A bad revision name is an error that says what is allowed, through the flag and through --set."""
    with pytest.raises(InputError, match=f'invalid revision specified: "{name}"'):
        resolve([], [], version="9", revision=name)
    for path in ("revision", "values.revision"):
        with pytest.raises(InputError, match=f'invalid revision specified: "{name}"'):
            resolve([], [f"{path}={name}"], version="9")


def test_longest_revision() -> None:
    """56 characters fit."""
    assert resolve([], [], version="9", revision="x" * 56).plane.service == "istiod-" + "x" * 56


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["profile=nope"], "unknown profile 'nope'; there are: default, demo, empty, minimal"),
        (["hubb=x"], "spec.hubb: unknown field"),
        (["components.pilot.k8s.reources={}"], "spec.components.pilot.k8s.reources"),
        (["components.cni.enabled=true"], "Linnet has no cni"),
        (["components.pilott.enabled=true"], "unknown component"),
    ],
)
def test_mistakes_name_the_field(sets: list[str], told: str) -> None:
    """Unknown fields are refused by their path."""
    with pytest.raises(InputError, match=told.replace("[", r"\[")):
        resolve([], sets, version="9")


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        (
            "components.pilot.k8s.replicaCount=abc",
            "spec.components.pilot.k8s.replicaCount: expected a whole number from 0 on, found 'abc'",
        ),
        ("components.pilot.k8s.hpaSpec.minReplicas=x", "spec.components.pilot.k8s.hpaSpec.minReplicas"),
        ("components.pilot.k8s=[1]", "spec.components.pilot.k8s: expected a mapping"),
        ("components.ingressGateways[0].name=Bad_Name", "spec.components.ingressGateways[0].name"),
        ("components.ingressGateways[0].enabled=yes", "expected true or false, found 'yes'"),
        ("components.ingressGateways[0].k8s.replicaCount=-1", "spec.components.ingressGateways[0].k8s.repl"),
        ("values=3", "spec.values: expected a mapping, found 3"),
        ("values.pilot=3", "spec.values.pilot: expected a mapping, found 3"),
        ("values.pilot.autoscaleMin=true", "spec.values.pilot.autoscaleMin: expected a whole number"),
        ("values.gateways.istio-ingressgateway=x", "spec.values.gateways.istio-ingressgateway"),
        ("values.gateways.istio-ingressgateway.autoscaleMax=x", "istio-ingressgateway.autoscaleMax"),
        ("values.global=3", "spec.values.global: expected a mapping, found 3"),
        ("values.global.istioNamespace=Bad_NS", "spec.values.global.istioNamespace: expected a name of"),
        ("meshConfig=3", "spec.meshConfig: expected a mapping, found 3"),
    ],
)
def test_values_of_the_wrong_form(assignment: str, told: str) -> None:
    """A value that no rendering could use is named with its path, what is expected, and what it is."""
    with pytest.raises(InputError, match=re.escape(told)):
        resolve([], [assignment], version="9")


def test_a_wrong_form_names_its_file() -> None:
    """In a file too."""
    text = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {values: []}\n"
    with pytest.raises(InputError, match=re.escape("wrong.yaml: spec.values: expected a mapping, found []")):
        resolve([("wrong.yaml", text)], [], version="9")


def test_a_file_that_is_something_else() -> None:
    """The error names the file and what was expected."""
    with pytest.raises(InputError, match=r"pod\.yaml: expected apiVersion install\.istio\.io"):
        resolve([("pod.yaml", "apiVersion: v1\nkind: Pod\n")], [], version="9")


def test_a_wrong_field_names_its_file() -> None:
    """Of several files it is the one that is meant."""
    head = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n"
    files = [
        ("good.yaml", f"{head}  tag: x\n"),
        ("bad.yaml", f"{head}  components:\n    pilot:\n      k8: {{}}\n"),
    ]
    with pytest.raises(InputError, match=r"bad\.yaml: spec\.components\.pilot\.k8: unknown field"):
        resolve(files, [], version="1")


def test_yaml_errors_name_file_and_line() -> None:
    """A file that is no YAML is refused with its place."""
    with pytest.raises(InputError, match=r"bad\.yaml: not valid YAML.*line 2"):
        resolve([("bad.yaml", "a: b\n  c: [\n")], [], version="9")


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("values.ztunnel.x=1", "values.ztunnel"),
        ("values.pilot.cni.provider=x", "values.pilot.cni"),
        ("values.global.proxyy.logLevel=debug", "values.global.proxyy"),
        ("values.pilot.env.A=b", ""),
        ("values.global.proxy.logLevel=debug", ""),
        ("values.pilot.cni.enabled=false", ""),
    ],
)
def test_values_without_effect_are_told(assignment: str, told: str) -> None:
    """Nothing is silently ignored; what is switched off needs no word."""
    warnings = resolve([], [assignment], version="9").warnings
    assert warnings == ((f"{told} has no effect in Linnet",) if told else ())


def test_profiles() -> None:
    """The profiles and their gateways."""
    assert profile_names() == ["default", "demo", "empty", "minimal"]
    gateways = {
        name: [g.name for g in resolve([], [f"profile={name}"], version="9").plane.gateways]
        for name in profile_names()
    }
    assert gateways == {
        "default": ["istio-ingressgateway"],
        "demo": ["istio-ingressgateway", "istio-egressgateway"],
        "empty": [],
        "minimal": [],
    }
