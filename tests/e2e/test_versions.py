"""From an older Linnet with an older Envoy to this one, under load: by canary, and in place."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from demo import older
from demo.load import caller_logs, gateway_load
from demo.older import IMAGE, OLDER, OLDER_ENVOY
from demo.play import CALLERS, NAMESPACE, ROOT, environment, gateway_url
from demo.shell import Shell
from tools.images.building import build, has_history

from linnet.install.marks import MANAGER
from linnet.kube.config import from_kubeconfig

T = TypeVar("T")
SIDECARS, GATEWAYS = 6, 1  # proxies of the example
LEFT = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: left
  namespace: istio-system
  labels:
    istio.io/rev: old
    operator.istio.io/component: Pilot
    operator.istio.io/version: 0.0.9
    install.operator.istio.io/owning-resource-namespace: istio-system
"""

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"),
    pytest.mark.skipif(
        not shutil.which("kubectl"),
        reason="needs the real kubectl: install kubernetes-client or google-cloud-cli-kubectl",
    ),
    pytest.mark.skipif(
        not older.ENVOY_FOLDER.is_dir(), reason=f"Envoy {OLDER_ENVOY} is not here: make images"
    ),
    pytest.mark.skipif(
        not has_history(OLDER), reason="this clone has no history to build from: git fetch --unshallow"
    ),
]


class Mesh:
    """A mesh of the older Linnet with the older Envoy, and the commands that change it."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def run(self, command: str) -> str:
        outcome = self._shell.type(command)
        assert outcome.code == 0, outcome.output
        return outcome.output

    def refused(self, command: str) -> str:
        outcome = self._shell.type(command)
        assert outcome.code == 1, outcome.output
        return outcome.output

    def rolled_out(self) -> None:
        self.run(f"kubectl rollout status deployment -n {NAMESPACE} --timeout 280s")

    def restart(self) -> None:
        self.run(f"kubectl rollout restart deployment -n {NAMESPACE}")
        self.rolled_out()

    def proxy_images(self) -> set[str]:
        """The images of the sidecars, of pods that are not about to go."""
        return {word for words in self._pods() for word in words[1:] if "proxyv2" in word}

    def envoys(self) -> set[str]:
        """The versions (`1.40`) that the Envoys of the namespace say they have."""
        ask = f"kubectl exec -n {NAMESPACE} %s -c istio-proxy -- pilot-agent request GET server_info"
        answers = [self.run(ask % words[0]) for words in self._pods()]
        return {
            found for answer in answers for found in re.findall(r'"version": "[0-9a-f]+/(\d+\.\d+)', answer)
        }

    def served_by(self) -> set[str]:
        """The istiods that serve the proxies of the namespace, once each proxy has taken everything."""

        def synced() -> list[list[str]]:
            lines = self.run("istioctl proxy-status").splitlines()
            rows = [line.split() for line in lines if f".{NAMESPACE} " in line]
            ready = len(rows) >= SIDECARS and all(row[2:6] == ["SYNCED"] * 4 for row in rows)
            return rows if ready else []

        return {row[7] for row in until(synced)}

    def endpoints(self, workload: str, host: str) -> int:
        """How many endpoints of a host a proxy of the workload has."""
        name = next(words[0] for words in self._pods() if words[0].startswith(f"{workload}-"))
        cluster = f"outbound|80||{host}.{NAMESPACE}.svc.cluster.local"
        told = self.run(f"istioctl proxy-config endpoints {name}.{NAMESPACE} --cluster '{cluster}'")
        return sum("HEALTHY" in line for line in told.splitlines())

    def _pods(self) -> list[list[str]]:
        """Name and images of each pod that is not about to go."""
        fields = '{.metadata.deletionTimestamp}{"|"}{.metadata.name}{" "}{.spec.containers[*].image}{"\\n"}'
        template = f"{{range .items[*]}}{fields}{{end}}"
        lines = self.run(f"kubectl get pods -n {NAMESPACE} -o jsonpath='{template}'").splitlines()
        return [line[1:].split() for line in lines if line.startswith("|")]

    @contextmanager
    def load(self) -> Iterator[None]:
        """Requests through the gateway and from service to service; none may fail."""
        url = gateway_url(self._shell)
        config = from_kubeconfig(self.run("echo $KUBECONFIG").strip())
        with caller_logs(config, NAMESPACE, CALLERS) as callers, gateway_load(url) as gateway:
            yield
            report = gateway.stop()
            seen = callers.reports()
        print(report.text)
        assert report.requests > 0
        assert report.failed == 0, report.text
        assert sum(found.requests for found in seen.values()) > 0
        assert {pod: found.text for pod, found in seen.items() if found.failed} == {}


def until(ask: Callable[[], T]) -> T:
    """The first answer that is true. Raises TimeoutError with the last one."""
    deadline = time.monotonic() + 100
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r}")
    return answer


@pytest.fixture(scope="module")
def older_one() -> None:
    """The older version is built: the first time that takes about as long as `make setup`."""
    build(OLDER)


@pytest.fixture
def mesh(older_one: None) -> Iterator[Mesh]:
    """A cluster with the older plane as revision `old`, the example in it, and no newer part."""
    home = Path(tempfile.mkdtemp(prefix="lv-"))  # short: sockets have paths of at most 107 bytes
    with Shell(environment(home / "s", home / "r"), directory=str(ROOT)) as shell:
        mesh = Mesh(shell)
        try:
            for command in (
                "linnet local up",
                'eval "$(linnet local env)"',
                *older.commands(),
                older.install("old"),
                f"kubectl create namespace {NAMESPACE}",
                f"kubectl label namespace {NAMESPACE} istio-injection=enabled",
                f"kubectl apply -n {NAMESPACE} -f examples/app.yaml -f examples/gateway.yaml",
            ):
                mesh.run(command)
            mesh.rolled_out()
            assert mesh.proxy_images() == {IMAGE}
            assert mesh.envoys() == {OLDER_ENVOY}
            yield mesh
        finally:
            mesh.run("linnet local down --purge")
            shutil.rmtree(home, ignore_errors=True)


def this_version(mesh: Mesh) -> str:
    return mesh.run("linnet version --remote=false").strip().rpartition(" ")[2]


def test_a_canary_of_a_newer_version(mesh: Mesh) -> None:
    """Both versions serve side by side, namespace and gateway move, the old one goes; nothing fails."""
    newer = this_version(mesh)
    assert newer != OLDER.version
    with mesh.load():
        mesh.run("istioctl install --set revision=canary -y")
        both = mesh.run("istioctl version")
        assert OLDER.version in both
        assert newer in both
        mesh.run(f"kubectl label namespace {NAMESPACE} istio-injection- istio.io/rev=canary")
        mesh.restart()
        assert mesh.proxy_images() == {f"linnet/proxyv2:{newer}"}
        assert mesh.envoys() == {"1.40"}
        mesh.run("istioctl x uninstall --revision old -y")
        assert OLDER.version not in mesh.run("istioctl version").replace("client", "")
        mesh.restart()


def test_in_place_and_back(mesh: Mesh) -> None:
    """The same revision of the newer version, then of the older one again.

    Either istiod serves the other's proxies until they are restarted: older Envoys with the newer istiod,
    newer Envoys with the older one. What will differ is said before, and so is what goes.
    """
    newer, older_version = this_version(mesh), OLDER.version
    again = "istioctl install --set revision=old"
    mesh.run(f"kubectl apply --server-side --field-manager {MANAGER} -f - <<'END'{LEFT}END")
    with mesh.load():
        told = mesh.run(f"{again} --dry-run")
        assert f"Revision old changes in place from {older_version} to {newer}." in told
        assert f"linnet/pilot:{older_version} → linnet/pilot:{newer}" in told
        assert "ConfigMap/istio-system/left removed (dry run)" in told
        before = mesh.served_by()
        mesh.run(f"{again} -y")
        assert mesh.envoys() == {OLDER_ENVOY}
        assert len(after := mesh.served_by()) == 1
        assert after.isdisjoint(before)
        told = mesh.run("istioctl version")
        assert f"control plane version: {newer}\n" in told
        both = f"{older_version} ({SIDECARS} proxies), {newer} ({GATEWAYS} proxy)"
        assert f"data plane version: {both}" in told
        assert "verified successfully" in mesh.run("istioctl verify-install")
        assert "left" not in mesh.run("kubectl get configmaps -n istio-system -o name")
        mesh.restart()
        assert mesh.proxy_images() == {f"linnet/proxyv2:{newer}"}
        assert mesh.envoys() == {"1.40"}

        back = f"{again} --set tag={older_version} -y"
        told = mesh.refused(back)
        assert f"would be ahead of control plane {older_version}" in told
        assert "--allow-skew" in told
        mesh.run(f"{back} --allow-skew")
        assert mesh.envoys() == {"1.40"}
        assert len(mesh.served_by()) == 1
        told = mesh.run("istioctl version")
        assert f"control plane version: {older_version}\n" in told
        assert f"{older_version} ({GATEWAYS} proxy), {newer} ({SIDECARS} proxies)" in told
        count = mesh.endpoints("frontend", "backend")
        mesh.run(f"kubectl scale deployment -n {NAMESPACE} backend-v1 --replicas 3")
        mesh.rolled_out()
        until(lambda: mesh.endpoints("frontend", "backend") == count + 1)
        mesh.restart()
        assert mesh.proxy_images() == {f"linnet/proxyv2:{older_version}"}
