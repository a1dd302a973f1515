"""Which injector serves a pod, row by row: never two, and the labels mean what they say."""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from linnet.install.overlap import overlaps
from linnet.install.plane import Plane
from linnet.install.webhooks import UNTOUCHED, default_tag, injector
from linnet.kube.selectors import matches

pytestmark = pytest.mark.unit

Labels = dict[str, str]
REV, INJECTION, INJECT = "istio.io/rev", "istio-injection", "sidecar.istio.io/inject"
CANARY, DEFAULT, NOBODY = "istiod-canary", "istiod", ""

TABLE = Path(__file__).with_name("decision-table.json")
ROWS: list[tuple[Labels, Labels, str]] = [
    (row["namespace"], row["pod"], {"canary": CANARY, "default": DEFAULT, "": NOBODY}[row["revision"]])
    for row in json.loads(TABLE.read_text())
]


def calls(hooks: Iterable[Mapping[str, Any]], namespace: Labels, pod: Labels) -> list[str]:
    """The Services of all entries that match."""
    return [
        entry["clientConfig"]["service"]["name"]
        for hook in hooks
        for entry in hook["webhooks"]
        if matches(entry["namespaceSelector"], namespace) and matches(entry["objectSelector"], pod)
    ]


def cluster(plane: Callable[..., Plane], shape: str) -> list[dict[str, Any]]:
    """The webhooks of a cluster: an un-revisioned default, or a revisioned one, each with a canary."""
    if shape == "un-revisioned":
        default = plane("")
        return [injector(default, active=False), default_tag(default), injector(plane("canary"))]
    if shape == "before the tag":
        return [injector(plane("")), injector(plane("canary"))]
    default = plane("1-0-0")
    return [injector(default), default_tag(default), injector(plane("canary"))]


@pytest.mark.parametrize("shape", ["un-revisioned", "before the tag", "revisioned"])
@pytest.mark.parametrize(("namespace", "pod", "service"), ROWS)
def test_row(plane: Callable[..., Plane], shape: str, namespace: Labels, pod: Labels, service: str) -> None:
    """One row of the table, in each shape that a cluster can have."""
    wanted = "istiod-1-0-0" if shape == "revisioned" and service == DEFAULT else service
    assert calls(cluster(plane, shape), namespace, pod) == ([wanted] if wanted else [])


@pytest.mark.parametrize("shape", ["un-revisioned", "before the tag", "revisioned"])
def test_never_two(plane: Callable[..., Plane], shape: str) -> None:
    """No combination of labels is matched twice."""
    hooks = cluster(plane, shape)
    revisions = [None, "default", "canary", "1-0-0", "typo"]
    for injection, rev, inject, own in product(
        [None, "enabled", "disabled"], revisions, [None, "true", "false"], revisions
    ):
        namespace = {k: v for k, v in ((INJECTION, injection), (REV, rev)) if v}
        pod = {k: v for k, v in ((INJECT, inject), (REV, own)) if v}
        assert len(calls(hooks, namespace, pod)) <= 1, (namespace, pod)


def test_namespaces_by_default(plane: Callable[..., Plane]) -> None:
    """With enableNamespacesByDefault, pods and namespaces without labels go to the default."""
    default = plane("", "values.sidecarInjectorWebhook.enableNamespacesByDefault=true")
    hooks = [default_tag(default), injector(plane("canary"))]
    name = "kubernetes.io/metadata.name"
    assert calls(hooks, {name: "shop"}, {}) == ["istiod"]
    assert calls(hooks, {name: "kube-system"}, {}) == []
    assert calls(hooks, {name: "shop"}, {INJECT: "true"}) == ["istiod"]


def test_deactivated_injector_never_matches(plane: Callable[..., Plane]) -> None:
    """Once the tag does the work, the plain injector is there and matches nothing."""
    hook = injector(plane(""), active=False)
    assert len(hook["webhooks"]) == 4
    for namespace, pod, _ in ROWS:
        assert calls([hook], namespace, pod) == []


def test_overlaps_are_found_before_anything_is_applied(plane: Callable[..., Plane]) -> None:
    """A foreign injector for the same labels is a conflict; ours beside each other are none."""
    old, new = plane("1-0-0"), plane("canary")
    assert overlaps([injector(old), default_tag(old)], [injector(new)]) == []
    foreign = injector(new)
    foreign["metadata"] = {"name": "somebody-elses"}
    foreign["webhooks"] = [
        {**entry, "clientConfig": {"service": {"name": "other", "namespace": "x"}}}
        for entry in foreign["webhooks"]
    ]
    found = overlaps([foreign], [injector(new)])
    assert "is injected by istio-sidecar-injector-canary and somebody-elses" in found[0]


@pytest.mark.parametrize("shape", ["un-revisioned", "before the tag", "revisioned"])
@pytest.mark.parametrize("name", UNTOUCHED)
def test_the_cluster_itself_never_waits_for_us(plane: Callable[..., Plane], shape: str, name: str) -> None:
    """Whoever labels kube-system or a pod in it: nobody asks an istiod, which may be down, about its pods."""
    for injection, space, inject, own in product(
        (None, "enabled", "disabled"),
        (None, "canary", "default"),
        (None, "true"),
        (None, "canary", "default"),
    ):
        spaces = {INJECTION: injection, REV: space, "kubernetes.io/metadata.name": name}
        pods = {INJECT: inject, REV: own}
        kept = [{k: v for k, v in labels.items() if v is not None} for labels in (spaces, pods)]
        assert calls(cluster(plane, shape), kept[0], kept[1]) == []
