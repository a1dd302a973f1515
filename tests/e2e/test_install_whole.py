"""An installation by kubectl is one by install; it is verified; what is broken is named, and mended."""

import json
from collections.abc import Iterator

import pytest
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, Cluster, cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), NEEDS_ROOT, NEEDS_KUBECTL]


@pytest.fixture(scope="module")
def local() -> Iterator[Cluster]:
    """A cluster on which kubectl has applied what `manifest generate` prints."""
    with cluster() as made:
        objects = made.linnet("manifest", "generate")
        made.kubectl("apply", "-f", "-", text=objects)
        for name in ("istiod", "istio-ingressgateway"):
            made.kubectl("rollout", "status", "-n", "istio-system", f"deployment/{name}", "--timeout=200s")
        yield made


def changes(made: Cluster, *args: str) -> dict[str, str]:
    """What an installation would not leave as it is, by object."""
    plan = json.loads(made.linnet("install", "--dry-run", "-o", "json", *args))
    return {c["object"]: c["outcome"] for c in plan["changes"] if c["outcome"] != "unchanged"}


def test_h13_kubectl_installs_the_same(local: Cluster) -> None:
    """H13: it verifies, and install finds nothing to change."""
    said = local.linnet("verify-install")
    assert "✔ Istio is installed and verified successfully" in said
    assert "✔ Injection: default checked successfully" in said
    assert "Checked 2 Istio Deployments" in said
    assert changes(local) == {}
    local.linnet("install", "-y")
    assert local.linnet("x", "precheck") == ""


def test_h14_leftovers_of_the_same_revision_go(local: Cluster) -> None:
    """H14: by revision, whatever their version; what a person copied stays, although it has our labels."""
    service = json.loads(local.kubectl("get", "service", "-n", "istio-system", "istiod", "-o", "json"))
    service["metadata"]["name"] = "istiod-copy"
    for field in ("clusterIP", "clusterIPs"):
        del service["spec"][field]
    local.kubectl("apply", "-f", "-", text=json.dumps(service))
    scaler = "HorizontalPodAutoscaler/istio-system/istiod"
    without = ("--set", "values.pilot.autoscaleEnabled=false")
    assert changes(local, *without)[scaler] == "removed"
    local.linnet("install", "-y", *without)
    names = local.kubectl("get", "service,hpa", "-n", "istio-system", "-o", "name").split()
    assert "service/istiod-copy" in names
    assert "horizontalpodautoscaler.autoscaling/istiod" not in names
    assert changes(local, *without) == {}
    local.linnet("install", "-y")


def test_h29_what_is_broken_is_named_and_mended(local: Cluster) -> None:
    """A deleted Service, a deleted ConfigMap (H29), an edited one; the same install mends what is broken."""
    local.kubectl("delete", "service", "-n", "istio-system", "istiod")
    local.kubectl("delete", "configmap", "-n", "istio-system", "istio-sidecar-injector")
    edited = {"data": {"meshNetworks": "networks: {}\n# mine\n"}}
    local.kubectl("patch", "configmap", "-n", "istio-system", "istio", "-p", json.dumps(edited))
    done = local.attempt("verify-install", "-o", "json")
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    faults = {f"{c['kind']} {c['name']}": c["why"] for c in found["checks"] if not c["good"]}
    assert faults["Service istiod"] == "it does not exist"
    assert faults["ConfigMap istio-sidecar-injector"] == "it does not exist"
    assert "does not exist" in faults["MutatingWebhookConfiguration istio-revision-tag-default"]
    notes = {c["name"]: c["note"] for c in found["checks"] if "note" in c}
    assert notes["istio"] == "it is not as it was installed"
    done = local.attempt("x", "precheck", "-o", "json")
    codes = {finding["code"] for finding in json.loads(done.stdout)}
    assert {"IST0139", "LIN0106"} <= codes
    local.linnet("install", "-y")
    assert "verified successfully" in local.linnet("verify-install")
    assert local.linnet("x", "precheck") == ""


def test_a_second_revision_is_verified_by_name(local: Cluster) -> None:
    """H24 as well: the un-revisioned default stays the default, and each revision is verified."""
    said = local.linnet("install", "-y", "--revision", "canary", "--from-revision", "default")
    assert "Revision default stays the default for injection and validation." in said
    said = local.linnet("verify-install")
    assert "2 Istio control planes detected: canary, default" in said
    assert (
        "✔ Deployment: istio-ingressgateway.istio-system checked successfully (served by revision canary)"
        in said
    )
    only = json.loads(local.linnet("verify-install", "--revision", "canary", "-o", "json"))
    assert [(one["revision"], one["good"]) for one in only] == [("canary", True)]
    assert (
        "no revision nope; there are: canary, default" in local.attempt("verify-install", "-r", "nope").stderr
    )
