"""The kubectl of this machine against a local cluster: what needs more than plain requests."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, Typed, typed

_KUBECTL = shutil.which("kubectl") or ""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_ROOT, NEEDS_KUBECTL]

_APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: linnet/echo
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
"""


def _binaries() -> list[str]:
    """The kubectl on PATH, and the oldest and newest of those that lie beside it (`kubectl.1.31`)."""
    if not _KUBECTL:
        return ["kubectl"]
    beside = Path(_KUBECTL).resolve().parent.glob("kubectl.1.*")
    others = sorted(str(path) for path in beside if os.access(path, os.X_OK))
    return [_KUBECTL, *dict.fromkeys((*others[:1], *others[-1:]))]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Typed]:
    """A local cluster, empty."""
    with typed() as made:
        yield made


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@pytest.mark.parametrize("kubectl", _binaries(), ids=os.path.basename)
def test_streams(cluster: Typed, kubectl: str, tmp_path: Path) -> None:
    """exec, logs, cp and port-forward go through, with exit codes and ends as they should be."""
    namespace = "t-" + re.sub(r"[^a-z0-9]+", "-", os.path.basename(kubectl))
    k = f"{kubectl} -n {namespace}"
    manifest = tmp_path / "app.yaml"
    manifest.write_text(_APP)
    cluster.run(f"{kubectl} create namespace {namespace}")
    cluster.run(f"{k} apply --server-side -f {manifest}")
    cluster.run(f"{k} rollout status deployment/web --timeout=60s")

    assert cluster.run(f"{k} exec deploy/web -- echo hi").strip() == "hi"
    assert "out" in cluster.run(f"{k} exec deploy/web -- sh -c 'echo out; exit 3'", code=3)
    assert cluster.run(f"echo data | {k} exec -i deploy/web -- cat").strip() == "data"
    counted = cluster.run(f"head -c 1000000 /dev/zero | {k} exec -i deploy/web -- wc -c")
    assert counted.strip() == "1000000"
    terminal = f"{k} exec -it deploy/web -- sh -c 'test -t 0 && echo a terminal'"
    assert "a terminal" in cluster.run(f'script -qec "{terminal}" /dev/null </dev/null')
    assert "executable file not found" in cluster.run(f"{k} exec deploy/web -- no-such-program", code=1)

    pod = cluster.run(f"{k} get pods -l app=web -o jsonpath='{{.items[0].metadata.name}}'").strip()
    copied = f"{k} cp {manifest} {pod}:/tmp/copy && {k} cp {pod}:/tmp/copy {tmp_path}/back"
    cluster.run(f"{copied} && cmp {manifest} {tmp_path}/back")

    port = _free_port()
    ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/from-here').status)"
    forwarded = cluster.run(
        f"coproc {k} port-forward {pod} {port}:8080; read -r line <&${{COPROC[0]}}; "
        f'python3 -c "{ask}"; kill $COPROC_PID; wait $COPROC_PID 2>/dev/null; true'
    )
    assert "200" in forwarded
    assert cluster.run(f"{k} logs deploy/web --tail=1 --timestamps").strip()
    cluster.run(f"{k} delete deployment web --wait --timeout=60s")
    cluster.run(f"{kubectl} delete namespace {namespace} --timeout=60s")


def test_a_log_is_followed_to_its_end(cluster: Typed) -> None:
    """`logs -f` prints what comes and ends with the container."""
    command = "for i in 1 2 3; do echo line $i; sleep 0.2; done"
    cluster.run(f"kubectl run talker --image=linnet/host --restart=Never --command -- sh -c '{command}'")
    cluster.run("kubectl wait pod/talker --for=jsonpath='{.status.phase}'=Succeeded --timeout=60s")
    assert cluster.run("kubectl logs -f talker").split("\n")[:3] == ["line 1", "line 2", "line 3"]
    cluster.run("kubectl delete pod talker --timeout=60s")
