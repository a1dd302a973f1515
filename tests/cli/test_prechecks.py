"""What stands in the way: each finding by code, from facts; and a cluster that has nothing."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from linnet.cli.prechecks import Facts, Level, check
from linnet.cli.quantities import Amount, free, quantity
from linnet.install.operator import resolve
from linnet.install.plane import Plane
from linnet.install.skew import Running
from linnet.install.webhooks import injector, tag, validator

Object = dict[str, Any]
Run = Callable[..., subprocess.CompletedProcess[str]]


def plane(revision: str, *sets: str) -> Plane:
    """The default profile."""
    return resolve([], list(sets), version="1.5.0", revision=revision).plane


def named(kind: str, name: str, namespace: str = "istio-system", **labels: str) -> Object:
    """An object with labels."""
    marked = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": marked}}


OLD = plane("old")
WHOLE = Facts(
    namespace="istio-system",
    kubernetes="v1.35.4",
    injectors=[injector(OLD), tag(OLD, "prod")],
    validators=[validator(OLD)],
    services=[named("Service", "istiod-old")],
    config_maps=[named("ConfigMap", f"{name}-old") for name in ("istio", "istio-sidecar-injector", "values")],
    planes=[Running("old", "1.4.0")],
)


def replaced(**changes: Any) -> Facts:
    """The whole facts but for some."""
    return Facts(**{field: getattr(WHOLE, field) for field in Facts.__struct_fields__} | changes)


def space(name: str, **labels: str) -> Object:
    """A namespace."""
    made = named("Namespace", name, "", **labels)
    return {"metadata": {k: v for k, v in made["metadata"].items() if k != "namespace"}}


def node(cpu: str, memory: str) -> Object:
    """A node with so much."""
    return {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": cpu, "memory": memory}}}


@pytest.mark.unit
def test_nothing_in_the_way() -> None:
    """A whole installation and namespaces that name what is there."""
    spaces = [
        space("a", istio_io__rev="old"),
        space("b", istio_io__rev="prod"),
        space("c"),
        space("d", app="x"),
    ]
    assert check(replaced(namespaces=spaces), plane("canary")) == []


@pytest.mark.unit
@pytest.mark.parametrize(
    ("changes", "code", "level", "origin", "told"),
    [
        ({"kubernetes": "v1.21.3"}, "IST0142", Level.Error, "", "at least 1.25 is needed"),
        ({"forbidden": ["leases"]}, "IST0141", Level.Error, "", "you may not create leases"),
        ({"services": []}, "IST0139", Level.Error, "Webhook istio-revision-tag-prod", "does not exist"),
        (
            {"namespaces": [space("s", istio_io__rev="typo")]},
            "LIN0101",
            Level.Warning,
            "Namespace s",
            "names neither a revision nor a tag, so its pods get no proxy: kubectl label namespace s",
        ),
        (
            {"namespaces": [space("s", istio_io__rev="old", **{"istio-injection": "enabled"})]},
            "IST0123",
            Level.Warning,
            "Namespace s",
            "the first decides",
        ),
        (
            {"istio_objects": [named("VirtualService", "v", "shop", istio_io__rev="gone")]},
            "LIN0102",
            Level.Warning,
            "VirtualService v.shop",
            "so no control plane reads it: kubectl label virtualservice v -n shop istio.io/rev-",
        ),
        (
            {"blocked": "its Service istio-system/istiod does not exist"},
            "LIN0103",
            Level.Warning,
            "Webhook istiod-istio-system",
            "refuses every Istio object",
        ),
        (
            {"nodes": [node("400m", "8Gi")]},
            "LIN0104",
            Level.Warning,
            "",
            "no node has that much left (most: n with 400m CPU and 8192Mi memory)",
        ),
        ({"nodes": [node("2", "8Gi")]}, "LIN0104", Level.Info, "", "it fits on 1 of 1 nodes"),
        ({"planes": [Running("old", "1.1.0")]}, "LIN0105", Level.Error, "", "at most 2 may be skipped"),
        ({"planes": [Running("old", "1.6.0")]}, "LIN0105", Level.Warning, "", "1.5.0 is older"),
        (
            {"config_maps": [named("ConfigMap", "istio-old"), named("ConfigMap", "values-old")]},
            "LIN0106",
            Level.Error,
            "Revision old",
            "ConfigMap istio-sidecar-injector-old is missing: it cannot inject",
        ),
        (
            {"config_maps": [named("ConfigMap", n) for n in ("istio-old", "istio-sidecar-injector-old")]},
            "LIN0107",
            Level.Info,
            "Revision old",
            "gateways cannot be handed back",
        ),
    ],
)
def test_findings(changes: dict[str, Any], code: str, level: Level, origin: str, told: str) -> None:
    """Each by itself, with its place and its remedy."""
    found = [finding for finding in check(replaced(**changes), plane("canary")) if finding.code == code]
    assert found
    assert any((f.level, f.origin) == (level, origin) and told in str(f) for f in found), found


@pytest.mark.unit
def test_h6_a_label_that_names_nobody_is_found() -> None:
    """A typo, or a revision that was removed: no sidecar, no error; now a warning with the remedy."""
    (finding,) = check(replaced(namespaces=[space("s", istio_io__rev="odl")]), plane("canary"))
    assert (finding.code, finding.origin) == ("LIN0101", "Namespace s")
    assert finding.remedy.endswith("there are: old, prod")


@pytest.mark.unit
def test_h28_a_second_istiod_needs_room() -> None:
    """What it asks for is said, and whether a node has it."""
    (small,) = check(replaced(nodes=[node("2", "1Gi")]), plane("canary"))
    assert (small.code, small.level) == ("LIN0104", Level.Warning)
    (fits,) = check(replaced(nodes=[node("2", "1Gi")]), plane("canary", "profile=demo"))
    assert (fits.code, fits.level) == ("LIN0104", Level.Info)
    assert "a further istiod asks for 10m CPU and 100Mi memory" in fits.message


@pytest.mark.unit
def test_h10_objects_of_revisions_and_tags_are_known() -> None:
    """H10: tags count for Istio objects as they do for namespaces."""
    objects = [named("VirtualService", name, "shop", istio_io__rev=name) for name in ("old", "prod")]
    assert check(replaced(istio_objects=objects), plane("canary")) == []


@pytest.mark.unit
def test_from_version() -> None:
    """A version that does not run here is compared, too."""
    (finding,) = check(WHOLE, plane("canary"), from_version="1.2")
    assert "install 1.4 first" in finding.message


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "number"), [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("2Gi", 2**31), ("1k", 1000), ("nonsense", 0)]
)
def test_quantities(text: str, number: float) -> None:
    """As Kubernetes writes them."""
    assert quantity(text) == pytest.approx(number)


@pytest.mark.unit
def test_what_is_left_of_a_node() -> None:
    """Pods that are over and nodes that take none do not count."""
    container = {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}
    spec = {"nodeName": "n", "containers": [container]}
    pods = [{"spec": spec, "status": {"phase": phase}} for phase in ("Running", "Succeeded", "Pending")]
    cordoned = {**node("1", "1Gi"), "metadata": {"name": "c"}, "spec": {"unschedulable": True}}
    assert free([node("2", "8Gi"), cordoned], pods) == {"n": Amount(1.0, 6 * 2**30)}


@pytest.mark.wired
def test_on_an_empty_cluster(run: Run) -> None:
    """Nothing is found, and said on stderr."""
    done = run("x", "precheck")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("✔ No issues found when checking the cluster.")


@pytest.mark.wired
def test_on_a_cluster_with_a_typo(run: Run) -> None:
    """Exit code 1; the same as data; a threshold hides it."""
    run("kubectl", "create", "namespace", "shop")
    run("kubectl", "label", "namespace", "shop", "istio.io/rev=typo")
    done = run("precheck")
    assert done.returncode == 1
    assert done.stdout.startswith("Warning [LIN0101] (Namespace shop) label istio.io/rev=typo names neither")
    assert done.stderr == "Error: Issues found when checking the cluster.\n"
    done = run("precheck", "-o", "json")
    assert done.returncode == 1
    assert [finding["code"] for finding in json.loads(done.stdout)] == ["LIN0101"]
    assert run("precheck", "--output-threshold", "Error").returncode == 0
    assert run("precheck", "-n", "other").returncode == 0
    assert run("precheck", "--from-version", "soon").returncode == 1


@pytest.mark.unit
def test_a_webhook_that_nobody_answers() -> None:
    """Its pods would be refused: an error, with what to look at."""
    serving = {**named("Service", "istiod-old"), "spec": {"ports": [{"name": "https-webhook", "port": 443}]}}
    found = [f for f in check(replaced(services=[serving], slices=[]), OLD) if f.code == "LIN0108"]
    assert [(f.level, f.origin) for f in found[:2]] == [
        (Level.Error, "Webhook istio-revision-tag-prod"),
        (Level.Error, "Webhook istio-sidecar-injector-old"),
    ]
    assert "has no endpoint that is ready, so what it matches is refused" in found[0].message
    assert "kubectl describe service,deployment -n istio-system istiod-old" in found[0].remedy
