"""Every gateway of the mesh moves in place, under load, both ways, and by itself when a revision goes."""

import asyncio
import json
import sys
from collections.abc import Iterator

import pytest
from demo.load import gateway_load
from demo.play import ROOT
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until
from tests.e2e.killing import killed, ready_endpoints

from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.kinds import SERVICE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), NEEDS_ROOT]

OPERATOR = """\
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  components:
    ingressGateways:
    - name: istio-ingressgateway
      enabled: true
    - name: edge
      namespace: edge
      enabled: true
    egressGateways:
    - name: out
      enabled: true
"""
INJECTED = """\
apiVersion: v1
kind: Service
metadata: {name: entry, namespace: doors}
spec:
  type: LoadBalancer
  selector: {istio: entry}
  ports: [{name: http2, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: entry, namespace: doors}
spec:
  selector: {matchLabels: {istio: entry}}
  template:
    metadata:
      annotations: {inject.istio.io/templates: gateway}
      labels: {istio: entry, sidecar.istio.io/inject: "true", istio.io/rev: 1-0-0}
    spec:
      containers: [{name: istio-proxy, image: auto}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: entry, namespace: doors}
spec:
  selector: {istio: entry}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: entry, namespace: doors}
spec:
  hosts: ["*"]
  gateways: [entry]
  http: [{route: [{destination: {host: frontend.test-ns.svc.cluster.local, port: {number: 80}}}]}]
"""
ALL = ["edge.edge", "entry.doors", "istio-ingressgateway.istio-system", "out.istio-system"]
SERVICES = (("istio-system", "istio-ingressgateway"), ("edge", "edge"), ("doors", "entry"))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """1-0-0 with gateways in two namespaces, an injected gateway, and an application behind them."""
    files = tmp_path_factory.mktemp("files")
    (files / "operator.yaml").write_text(OPERATOR)
    (files / "injected.yaml").write_text(INJECTED)
    with cluster() as made:
        for namespace in ("edge", "doors", "test-ns"):
            made.linnet("kubectl", "create", "namespace", namespace)
        made.linnet("install", "-f", str(files / "operator.yaml"), "--set", "revision=1-0-0", "-y")
        made.linnet("install", "--set", "revision=canary", "--gateways=later", "-y")
        made.linnet("kubectl", "label", "namespace", "test-ns", "istio-injection=enabled")
        for name in ("app.yaml", "gateway.yaml"):
            made.linnet("kubectl", "apply", "-n", "test-ns", "-f", str(ROOT / "examples" / name))
        made.linnet("kubectl", "apply", "-f", str(files / "injected.yaml"))
        made.linnet("kubectl", "rollout", "status", "deployment", "-n", "test-ns")
        made.linnet("kubectl", "rollout", "status", "deployment", "-n", "doors")
        yield made


def served(mesh: Cluster) -> dict[str, list[str]]:
    """Who serves each gateway."""
    rows = json.loads(mesh.linnet("gateway", "list", "-o", "json"))
    return {f"{row['name']}.{row['namespace']}": row["servedBy"] for row in rows}


async def addresses(client: Client) -> list[tuple[str, str]]:
    """Identity and address of each gateway's Service."""
    found = []
    for namespace, name in SERVICES:
        obj = await client.get(SERVICE, name, namespace)
        ingress = (obj["status"].get("loadBalancer") or {}).get("ingress") or [{"ip": ""}]
        found.append((obj["metadata"]["uid"], ingress[0]["ip"]))
    return found


async def answers(url: str) -> bool:
    """Whether a gateway is there for its first caller."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"import urllib.request; urllib.request.urlopen('{url}', timeout=5)"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


async def test_no_gap_in_either_direction(mesh: Cluster) -> None:
    """Moved by command, handed back by the removal of the canary: no request fails, no Service changes."""
    async with Client(from_kubeconfig(mesh.kubeconfig)) as client:

        async def all_have() -> bool:
            return all(ip for _, ip in await addresses(client))

        await until(all_have)
        before = await addresses(client)
        urls = [f"http://{before[index][1]}/" for index in (0, 2)]
        for url in urls:
            await until(lambda url=url: answers(url))
        assert served(mesh) == {name: ["1-0-0"] for name in ALL}
        with gateway_load(urls[0], rate=20) as installed, gateway_load(urls[1], rate=20) as injected:
            mesh.linnet("gateway", "move", "--to", "canary")
            assert served(mesh) == {name: ["canary"] for name in ALL}
            done = mesh.linnet("x", "uninstall", "--revision=canary")
            assert "istio-ingressgateway, out, entry.doors are served by revision 1-0-0 now" in done
            assert served(mesh) == {name: ["1-0-0"] for name in ALL}
            reports = [installed.stop(), injected.stop()]
        assert [report.failed for report in reports] == [0, 0], "\n".join(report.text for report in reports)
        assert all(report.requests > 0 for report in reports)
        assert await addresses(client) == before


async def test_killed_after_every_write(mesh: Cluster) -> None:
    """The same command goes on where a death left it; every gateway has a ready pod all the time."""
    mesh.linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
    async with Client(from_kubeconfig(mesh.kubeconfig)) as client:
        deaths = 0
        while killed(mesh, "gateway", "move", "--to", "canary"):
            deaths += 1
            for namespace, name in SERVICES:
                assert await ready_endpoints(client, namespace, name) >= 1
    assert deaths >= len(ALL), "every gateway is at least one write"
    assert served(mesh) == {name: ["canary"] for name in ALL}
    mesh.linnet("gateway", "move", "--to", "1-0-0")
    assert served(mesh) == {name: ["1-0-0"] for name in ALL}


def test_by_name_and_what_only_labels_move(mesh: Cluster) -> None:
    """One gateway moves alone; one that follows its namespace is named with what moves it."""
    assert "(dry run)" in mesh.linnet("gateway", "move", "out", "--to", "canary", "--dry-run")
    mesh.linnet("gateway", "move", "out", "--to", "canary")
    expected = {name: ["1-0-0"] for name in ALL} | {"out.istio-system": ["canary"]}
    assert served(mesh) == expected
    mesh.linnet("kubectl", "label", "namespace", "doors", "istio.io/rev=1-0-0")
    refused = mesh.attempt("gateway", "move", "entry.doors", "--to", "canary")
    assert refused.returncode == 1
    assert "kubectl label namespace doors istio.io/rev=canary --overwrite" in refused.stderr
    for names, told in (
        (["nobody", "--to", "canary"], "there is no gateway nobody"),
        (["--to", "x"], "no revision or tag x"),
    ):
        refused = mesh.attempt("gateway", "move", *names)
        assert (refused.returncode, told in refused.stderr) == (1, True), refused.stderr
    # the namespace says canary now: a restart is all that is left, and the command does it
    mesh.linnet("kubectl", "label", "namespace", "doors", "istio.io/rev=canary", "--overwrite")
    mesh.linnet("gateway", "move", "entry.doors", "--to", "canary")
    assert served(mesh)["entry.doors"] == ["canary"]
    mesh.linnet("kubectl", "label", "namespace", "doors", "istio.io/rev-")
    mesh.linnet("gateway", "move", "--to", "1-0-0")
    assert served(mesh) == {name: ["1-0-0"] for name in ALL}


def test_several_candidates_are_asked_about(mesh: Cluster) -> None:
    """Without a default nobody knows who takes the gateways: end of input is no, an answer decides."""
    mesh.linnet("install", "--set", "profile=minimal", "--set", "revision=third", "-y")
    mesh.linnet("gateway", "move", "out", "--to", "third")
    mesh.linnet("tag", "remove", "default", "-y")
    declined = mesh.attempt("uninstall", "--revision", "third")
    assert (declined.returncode, "Cancelled." in declined.stdout) == (1, True), declined.stderr
    assert "Who takes them? (1-0-0|canary)" in declined.stdout
    refused = mesh.attempt("uninstall", "--revision", "third", "-y")
    assert (refused.returncode, "--gateways-to 1-0-0|canary" in refused.stderr) == (1, True)
    assert served(mesh)["out.istio-system"] == ["third"]
    done = mesh.attempt("uninstall", "--revision", "third", answer="canary\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert served(mesh)["out.istio-system"] == ["canary"]
