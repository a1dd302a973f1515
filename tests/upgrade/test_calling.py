"""Webhooks that cannot be called although their Service is there: each reason, and none where none is."""

import base64
from typing import Any

import pytest

from linnet.install.operator import resolve
from linnet.install.pilot import service
from linnet.install.webhooks import deactivated, injector, tag, validator, with_bundles
from linnet.upgrade.calling import Targets, uncallable

pytestmark = pytest.mark.unit

Object = dict[str, Any]
PLANE = resolve([], ["revision=canary"], version="1.5.0").plane
SERVICE = service(PLANE)


def certificate(content: str) -> str:
    """What a certificate looks like in PEM."""
    return f"-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n"


ROOTS = certificate("new") + certificate("old")


def hooks(bundle: str = ROOTS) -> list[Object]:
    """The webhooks of the canary and of its tag `prod`."""
    encoded = base64.b64encode(bundle.encode()).decode()
    made = (injector(PLANE), tag(PLANE, "prod"), validator(PLANE))
    return [with_bundles(hook, {"istiod-canary": encoded}) for hook in made]


def slices(*, ready: bool | None = True, name: str = "istiod-canary") -> list[Object]:
    """The endpoints of its Service: one."""
    conditions = {} if ready is None else {"ready": ready}
    ports = [{"name": port["name"], "port": port["targetPort"]} for port in SERVICE["spec"]["ports"]]
    labels = {"kubernetes.io/service-name": name}
    return [
        {
            "metadata": {"name": f"{name}-x", "namespace": "istio-system", "labels": labels},
            "ports": ports,
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": conditions}],
        }
    ]


def found(
    made: list[Object], services: list[Object], endpoints: list[Object], roots: str = ROOTS
) -> list[str]:
    """What is said."""
    return [str(one) for one in uncallable(made, Targets(services, endpoints, roots), "istio-system")]


@pytest.mark.parametrize("ready", [True, None])
def test_nothing_is_wrong(ready: bool | None) -> None:
    """Endpoints without a condition count as ready; one common root is enough."""
    assert found(hooks(certificate("old")), [SERVICE], slices(ready=ready)) == []
    assert found(hooks(certificate("old")), [SERVICE], slices(), roots="") == []


@pytest.mark.parametrize("endpoints", [[], slices(ready=False), slices(name="istiod-other")])
def test_no_endpoint(endpoints: list[Object]) -> None:
    """Each webhook object once: an injector refuses what it matches, the new validator lets it pass."""
    why = "its Service istiod-canary.istio-system has no endpoint that is ready, so what it matches is"
    assert found(hooks(), [SERVICE], endpoints) == [
        f"istio-revision-tag-prod: {why} refused",
        f"istio-sidecar-injector-canary: {why} refused",
        f"istio-validator-canary-istio-system: {why} not looked at",
    ]


def test_no_such_port() -> None:
    """The Service has lost it, or the webhook names another one."""
    without = [port for port in SERVICE["spec"]["ports"] if port["port"] != 443]
    lost = {**SERVICE, "spec": {**SERVICE["spec"], "ports": without}}
    told = found(hooks()[:1], [lost], slices())
    assert "its Service istiod-canary.istio-system has no port 443" in told[0]
    renumbered = hooks()[:1]
    for entry in renumbered[0]["webhooks"]:
        entry["clientConfig"]["service"]["port"] = 444
    assert "has no port 444" in found(renumbered, [SERVICE], slices())[0]


def test_remedies_of_ports() -> None:
    """An installation makes Services and its own webhooks; tags are set again."""
    made = hooks()[:2]
    lost = {**SERVICE, "spec": {**SERVICE["spec"], "ports": []}}
    again = "linnet install --revision canary"
    remedies = [one.remedy for one in uncallable(made, Targets([lost], [], ROOTS), "istio-system")]
    assert remedies == [again, again]
    for hook in made:
        for entry in hook["webhooks"]:
            entry["clientConfig"]["service"]["port"] = 444
    remedies = [one.remedy for one in uncallable(made, Targets([SERVICE], [], ROOTS), "istio-system")]
    assert remedies == ["linnet tag set prod --revision canary --overwrite", again]


def test_no_pod_has_the_port() -> None:
    """A named target port that no pod has is left out of the EndpointSlice."""
    part = slices()
    part[0]["ports"] = [port for port in part[0]["ports"] if port["port"] != 15017]
    assert "no endpoint" in found(hooks()[:1], [SERVICE], part)[0]


@pytest.mark.parametrize("bundle", ["", "nonsense"])
def test_no_bundle(bundle: str) -> None:
    """Nobody has written it yet, or it is no certificate."""
    assert "it has no CA bundle" in found(hooks(bundle)[:1], [SERVICE], slices())[0]


def test_a_bundle_of_others() -> None:
    """The API server would not trust our istiod."""
    assert "none of the mesh's roots" in found(hooks(certificate("x"))[:1], [SERVICE], slices())[0]


def test_what_rests() -> None:
    """An injector that matches nothing stops nobody."""
    assert found([deactivated(hooks()[0])], [SERVICE], []) == []


def test_what_is_not_ours() -> None:
    """Missing Services are found elsewhere; other people's webhooks and URLs are not looked at."""
    assert found(hooks(), [], []) == []
    theirs = hooks()[0]
    for entry in theirs["webhooks"]:
        entry["name"] = "pods.example.com"
    assert found([theirs], [SERVICE], []) == []
    remote = hooks()[0]
    for entry in remote["webhooks"]:
        entry["clientConfig"] = {"url": "https://istiod.example.com/inject"}
    assert found([remote], [SERVICE], []) == []
