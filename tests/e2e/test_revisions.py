"""Two revisions side by side on the local cluster: who injects, who validates, and that they do not fight."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from demo.play import ROOT, environment

from linnet.install.selftest import injecting_revision
from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.errors import ApiError
from linnet.kube.kinds import (
    CONFIG_MAP,
    MUTATING_WEBHOOK,
    NAMESPACE,
    POD,
    VALIDATING_WEBHOOK,
    VIRTUAL_SERVICE,
)
from linnet.kube.locks import LEADER

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"),
]

Object = dict[str, Any]
TABLE = json.loads((ROOT / "tests" / "install" / "decision-table.json").read_text())


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[str]:
    """A local cluster with an un-revisioned default and a canary, without gateways."""
    home = Path(tempfile.mkdtemp(prefix="lt-"))  # short: sockets have paths of at most 107 bytes
    variables = environment(home / "s", home / "r")

    def linnet(*args: str) -> str:
        done = subprocess.run(
            ["linnet", *args], env=variables, text=True, capture_output=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        linnet("local", "up")
        exports = dict(
            line.removeprefix("export ").split("=", 1) for line in linnet("local", "env").splitlines()
        )
        variables["KUBECONFIG"] = exports["KUBECONFIG"]
        linnet("install", "--set", "profile=minimal", "-y")
        linnet("install", "--set", "profile=minimal", "--set", "revision=canary", "-y")
        yield exports["KUBECONFIG"]
    finally:
        linnet("local", "down", "--purge")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def client(kubeconfig: str) -> AsyncIterator[Client]:
    """The cluster's administrator."""
    async with Client(from_kubeconfig(kubeconfig)) as client:
        yield client


@pytest.mark.parametrize("row", range(len(TABLE)))
async def test_decision_table(client: Client, row: int) -> None:
    """The API server calls the injector that the table names, and no other."""
    namespace, labels, revision = (TABLE[row][key] for key in ("namespace", "pod", "revision"))
    name = f"row-{row}"
    await client.create(NAMESPACE, {"metadata": {"name": name, "labels": namespace}})
    pod: Object = {
        "metadata": {"name": "p", "namespace": name, "labels": labels},
        "spec": {"serviceAccountName": "default", "containers": [{"name": "main", "image": "linnet/echo"}]},
    }
    found = await _created(client, pod)
    assert injecting_revision(found) == revision


async def _created(client: Client, pod: Object) -> Object:
    """The pod as it would be stored; its service account is there a moment after its namespace."""
    while True:
        try:
            return await client.create(POD, pod, dry_run=True)
        except ApiError as error:
            if "serviceaccount" not in error.message:
                raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("revision", [None, "default", "canary"])
async def test_validation(client: Client, revision: str | None) -> None:
    """Objects without a revision are validated by the default, others by their own."""
    labels = {"istio.io/rev": revision} if revision else {}
    route = {"route": [{"destination": {"host": "shop"}}]}
    good: Object = {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": "VirtualService",
        "metadata": {"name": "v", "namespace": "default", "labels": labels},
        "spec": {"hosts": ["shop"], "http": [route]},
    }
    await client.create(VIRTUAL_SERVICE, good, dry_run=True)
    bad = {**good, "spec": {"hosts": ["shop", "shop"], "http": [route]}}
    expected = "rev.validation.istio.io" if revision else '"validation.istio.io"'
    with pytest.raises(ApiError, match=r"spec\.hosts: duplicate host 'shop'") as refused:
        await client.create(VIRTUAL_SERVICE, bad, dry_run=True)
    assert expected in refused.value.message


async def test_two_revisions_do_not_fight(client: Client) -> None:
    """While nothing changes, nobody writes webhooks or ConfigMaps; locks are renewed."""

    async def versions() -> dict[str, str]:
        lists = [await client.list(kind) for kind in (MUTATING_WEBHOOK, VALIDATING_WEBHOOK, CONFIG_MAP)]
        return {
            f"{obj['kind']}/{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}": obj[
                "metadata"
            ]["resourceVersion"]
            for found in lists
            for obj in found.items
            if LEADER not in (obj["metadata"].get("annotations") or {})
        }

    before = await versions()
    await asyncio.sleep(5)  # the time in which they could
    assert await versions() == before
