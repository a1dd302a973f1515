"""A command line that is killed after its n-th write, and what must still work then."""

import signal
import subprocess
import sys

from tests.e2e.asking import injector, virtual_service
from tests.e2e.clusters import Cluster

from linnet.kube.client import Client
from linnet.kube.kinds import ENDPOINT_SLICE, VIRTUAL_SERVICE

# The real program; only a write that changed something counts, and after the n-th of them comes SIGKILL:
# no handler runs, nothing is undone.
PROGRAM = """
import os, signal, sys
import orjson
from linnet.kube.client import Client

left, seen, send = int(sys.argv.pop(1)), {}, Client._open

async def _open(self, method, path, *, body=None, headers=None, params=None):
    answer = await send(self, method, path, body=body, headers=headers, params=params)
    dry = "dryRun" in (params or {}) or (isinstance(body, dict) and "dryRun" in body)
    if dry or "/leases" in path or "watch" in (params or {}):
        return answer
    if method == "GET" and "portforward" not in path:
        held = orjson.loads(await answer.read() or b"{}")
        seen[path] = (held.get("metadata") or {}).get("resourceVersion")
        return answer
    global left
    if method in ("POST", "PUT", "PATCH", "DELETE"):
        held = orjson.loads(await answer.read() or b"{}")
        version = (held.get("metadata") or {}).get("resourceVersion")
        left -= method == "DELETE" or version != seen.get(path)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return answer

Client._open = _open
sys.argv[0] = "linnet"
from linnet.cli.__main__ import main
main()
"""


def killed(cluster: Cluster, *args: str, writes: int = 1, nothing: str = "\0") -> bool:
    """Run a command that dies after so many writes; False: it was complete before, and said so.

    `nothing`: how it says that an earlier death came after the last write.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(writes), *args],
        env=cluster.variables,
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if nothing in done.stderr:
        return False
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode != 0


async def works(client: Client, *namespaces: str) -> set[str]:
    """Pods are created and injected in each namespace, Istio objects accepted; the revisions that inject."""
    revisions = set()
    for namespace in namespaces:
        revisions.add(await injector(client, namespace))
        await client.create(VIRTUAL_SERVICE, virtual_service(namespace, "shop"), dry_run=True)
    return revisions


async def ready_endpoints(client: Client, namespace: str, service: str) -> int:
    """How many addresses of a Service are ready."""
    slices = await client.list(ENDPOINT_SLICE, namespace, labels=f"kubernetes.io/service-name={service}")
    return sum(
        bool((endpoint.get("conditions") or {}).get("ready"))
        for found in slices.items
        for endpoint in found.get("endpoints") or ()
    )
