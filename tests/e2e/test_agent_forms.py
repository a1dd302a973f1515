"""The agent in both of its places on the local cluster: the node, and the container as on Kubernetes."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.play import ROOT, environment
from demo.shell import Shell

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"),
    pytest.mark.skipif(
        not shutil.which("kubectl"),
        reason="needs the real kubectl: install kubernetes-client or google-cloud-cli-kubectl",
    ),
]
SERVERS = ("frontend", "backend-v1", "backend-v2")


class Cluster:
    """Commands on a local cluster of its own, which must succeed."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def run(self, command: str) -> str:
        outcome = self._shell.type(command)
        assert outcome.code == 0, outcome.output
        return outcome.output

    def rolled_out(self, namespace: str, *names: str) -> None:
        for name in names:
            self.run(f"kubectl rollout status -n {namespace} deployment/{name} --timeout 60s")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A local cluster with a control plane and no gateway."""
    home = Path(tempfile.mkdtemp(prefix="lt-"))  # short: sockets have paths of at most 107 bytes
    with Shell(environment(home / "s", home / "r"), directory=str(ROOT)) as shell:
        cluster = Cluster(shell)
        try:
            for command in (
                "linnet local up",
                'eval "$(linnet local env)"',
                "istioctl install --set profile=minimal -y",
            ):
                cluster.run(command)
            yield cluster
        finally:
            cluster.run("linnet local down --purge")
            shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("image", ["proxyv2", "proxyv2-agent"], ids=["node", "container"])
def test_a_mesh_is_replaced_under_load(cluster: Cluster, tmp_path: Path, image: str) -> None:
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
    cluster.rolled_out(namespace, *SERVERS, "caller")

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
    cluster.rolled_out(namespace, *SERVERS)
    cluster.run(f"kubectl wait -n {namespace} --for=delete {' '.join(old)} --timeout 60s")
    pod = cluster.run(f"kubectl get pods -n {namespace} -l app=caller -o name").strip()
    cluster.run(f"kubectl delete -n {namespace} {pod} --wait=false")
    log = cluster.run(f"kubectl logs -n {namespace} {pod} -c load --follow")
    total = re.search(r": (\d+) requests in \d+ s, (\d+) failed", log)
    assert total, log
    assert int(total[1]) > 200
    assert int(total[2]) == 0, log
