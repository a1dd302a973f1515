"""From an older Linnet with an older Envoy to this one, under load: by canary, and in place."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from demo import older
from demo.load import caller_logs, gateway_load
from demo.older import IMAGE, OLDER, OLDER_ENVOY
from demo.play import CALLERS, NAMESPACE, ROOT, environment, gateway_url
from demo.shell import Shell

from linnet.kube.config import from_kubeconfig

SERVED_BY = re.compile(r"^\S+\.test-ns .*?(istiod\S*)", re.MULTILINE)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"),
    pytest.mark.skipif(
        not shutil.which("kubectl"),
        reason="needs the real kubectl: install kubernetes-client or google-cloud-cli-kubectl",
    ),
    pytest.mark.skipif(
        bool(older.missing()), reason=older.missing() + " builds them from the project's history"
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


@pytest.fixture
def mesh() -> Iterator[Mesh]:
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


def test_in_place(mesh: Mesh) -> None:
    """The same revision of the newer version: old proxies are served by it until they are restarted."""
    newer = this_version(mesh)
    with mesh.load():
        mesh.run("istioctl install --set revision=old -y")
        assert mesh.envoys() == {OLDER_ENVOY}
        assert set(SERVED_BY.findall(mesh.run("istioctl proxy-status"))), "no proxy is served"
        mesh.restart()
        assert mesh.proxy_images() == {f"linnet/proxyv2:{newer}"}
        assert mesh.envoys() == {"1.40"}
