"""The agent in both of its places on the local cluster: the node, and the container as on Kubernetes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.play import ROOT
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, Typed, typed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_ROOT, NEEDS_KUBECTL]
SERVERS = ("frontend", "backend-v1", "backend-v2")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Typed]:
    """A local cluster with a control plane and no gateway."""
    with typed() as made:
        made.run("istioctl install --set profile=minimal -y")
        yield made


def rolled_out(cluster: Typed, namespace: str, *names: str) -> None:
    """Wait for Deployments."""
    for name in names:
        cluster.run(f"kubectl rollout status -n {namespace} deployment/{name} --timeout 60s")


@pytest.mark.parametrize("image", ["proxyv2", "proxyv2-agent"], ids=["node", "container"])
def test_a_mesh_is_replaced_under_load(cluster: Typed, tmp_path: Path, image: str) -> None:
    """Sidecars come up, requests are mTLS with the caller's identity, and a rolling restart loses none."""
    namespace = f"with-{image}"
    version = cluster.run("linnet version --remote=false").strip().rpartition(" ")[2]
    note = f"      annotations:\n        sidecar.istio.io/proxyImage: linnet/{image}:{version}\n"
    text = (ROOT / "examples" / "app.yaml").read_text()
    app = tmp_path / "app.yaml"
    app.write_text(re.sub(r"(  template:\n    metadata:\n)", lambda found: found[0] + note, text))
    cluster.run(f"kubectl create namespace {namespace}")
    cluster.run(f"kubectl label namespace {namespace} istio-injection=enabled")
    cluster.run(f"kubectl apply -n {namespace} -f {app}")
    rolled_out(cluster, namespace, *SERVERS, "caller")

    images = cluster.run(
        f"kubectl get pods -n {namespace} -o jsonpath='{{.items[*].spec.containers[*].image}}'"
    )
    assert images.count(f"linnet/{image}:{version}") == 6
    asked = "import urllib.request as r; print(r.urlopen('http://frontend/').read().decode())"
    answer = cluster.run(f'kubectl exec -n {namespace} deploy/caller -c load -- python3 -c "{asked}"')
    assert f"spiffe://cluster.local/ns/{namespace}/sa/caller" in answer
    assert f"spiffe://cluster.local/ns/{namespace}/sa/frontend" in answer

    old = cluster.run(f"kubectl get pods -n {namespace} -l app!=caller -o name").split()
    cluster.run(f"kubectl rollout restart -n {namespace} deployment {' '.join(SERVERS)}")
    rolled_out(cluster, namespace, *SERVERS)
    cluster.run(f"kubectl wait -n {namespace} --for=delete {' '.join(old)} --timeout 60s")
    pod = cluster.run(f"kubectl get pods -n {namespace} -l app=caller -o name").strip()
    cluster.run(f"kubectl delete -n {namespace} {pod} --wait=false")
    log = cluster.run(f"kubectl logs -n {namespace} {pod} -c load --follow")
    total = re.search(r": (\d+) requests in \d+ s, (\d+) failed", log)
    assert total, log
    assert int(total[1]) > 200
    assert int(total[2]) == 0, log
