"""An uninstall that dies half-way leaves a cluster that works, and the same command completes it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from demo.play import environment

from linnet.install.selftest import injecting_revision
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.kinds import POD, VIRTUAL_SERVICE
from linnet.upgrade.look import look
from linnet.upgrade.retire import carry_out, prepare

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"),
]
Linnet = Callable[..., str]
SPACE = "shop"


class Interrupted(BaseException):
    """The command dies here."""


class DiesAfter:
    """A report that ends the command after so many lines."""

    def __init__(self, lines: int) -> None:
        self.left = lines

    def working(self, text: str) -> None:
        """A line."""
        self.done(text)

    def done(self, text: str) -> None:
        """A line."""
        self.left -= 1
        if self.left < 0:
            raise Interrupted(text)


@pytest.fixture(scope="module")
def linnet() -> Iterator[Linnet]:
    """The command line on a local cluster of its own, with 1-0-0 as the default."""
    home = Path(tempfile.mkdtemp(prefix="lt-"))  # short: sockets have paths of at most 107 bytes
    variables = environment(home / "s", home / "r")

    def run(*args: str) -> str:
        done = subprocess.run(
            ["linnet", *args], env=variables, text=True, capture_output=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        run("local", "up")
        exports = dict(
            line.removeprefix("export ").split("=", 1) for line in run("local", "env").splitlines()
        )
        variables["KUBECONFIG"] = exports["KUBECONFIG"]
        run("install", "--set", "revision=1-0-0", "-y")
        run("kubectl", "create", "namespace", SPACE)
        run("kubectl", "label", "namespace", SPACE, "istio-injection=enabled")
        yield run
    finally:
        run("local", "down", "--purge")
        shutil.rmtree(home, ignore_errors=True)


async def still_works(client: Client) -> None:
    """Pods are injected and Istio objects validated, by the default."""
    pod: dict[str, Any] = {
        "metadata": {"name": "p", "namespace": SPACE},
        "spec": {"containers": [{"name": "main", "image": "linnet/echo"}]},
    }
    assert injecting_revision(await client.create(POD, pod, dry_run=True)) == "1-0-0"
    route: dict[str, Any] = {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": "VirtualService",
        "metadata": {"name": "v", "namespace": SPACE},
        "spec": {"hosts": ["shop"], "http": [{"route": [{"destination": {"host": "shop"}}]}]},
    }
    await client.create(VIRTUAL_SERVICE, route, dry_run=True)


@pytest.mark.parametrize("lines", [1, 6, 9])
async def test_it_goes_on(linnet: Linnet, lines: int) -> None:
    """Killed while gateways move, between webhooks, Services and Deployments, or later."""
    linnet("install", "--set", "revision=canary", "-y")
    kubeconfig = linnet("local", "env").splitlines()[0].partition("=")[2]
    async with Client(from_kubeconfig(kubeconfig), manager="istio-operator") as client:
        seen = await look(client, "istio-system")
        made = prepare(seen, "canary")
        assert (made.users, made.plan.gateways_to) == ((), "1-0-0")
        with pytest.raises((Interrupted, BaseExceptionGroup)):
            await carry_out(client, seen, made.plan, seconds=100, report=DiesAfter(lines))
        await still_works(client)
        assert "✔ Uninstall complete" in linnet("x", "uninstall", "--revision=canary")
        await still_works(client)
        left = await look(client, "istio-system")
        assert left.present == ("1-0-0",)
        gateways = [pod for pod in left.observed.pods if "ingressgateway" in pod["metadata"]["name"]]
        assert [pod["metadata"]["labels"]["istio.io/rev"] for pod in gateways] == ["1-0-0"]
        names = [obj["metadata"]["name"] for found in left.objects.values() for obj in found]
        assert [name for name in names if "canary" in name] == []
