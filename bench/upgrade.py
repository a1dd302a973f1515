"""What moving a namespace costs: time from the label to the last new pod, CPU of both control planes, memory.

    python -m bench.upgrade        as root

A local cluster of its own with two revisions; the namespace holds so many Deployments with one pod each.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

LINNET = [sys.executable, "-m", "linnet.cli"]
PODS = 20
REVISIONS = ("1-0-0", "canary")
_TICK = os.sysconf("SC_CLK_TCK")
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app-{number}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: app-{number}}}}}
  template:
    metadata: {{labels: {{app: app-{number}}}}}
    spec: {{containers: [{{name: echo, image: linnet/echo, args: [--port=8080]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: app-{number}, namespace: shop}}
spec: {{selector: {{app: app-{number}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
"""


def istiods(others: frozenset[int]) -> dict[str, int]:
    """The process of each revision's istiod, by its revision; `others` were there before."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if b"discovery" in command and int(entry.name) not in others:
            held = dict(one.split(b"=", 1) for one in variables if b"=" in one)
            found[held.get(b"REVISION", b"").decode()] = int(entry.name)
    return found


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident(pid: int) -> float:
    """MB of memory."""
    line = next(one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in one)
    return int(line.split()[1]) / 1024


def measure(environment: Mapping[str, str], others: frozenset[int]) -> None:
    """Print the table."""

    def linnet(*args: str, given: str = "") -> str:
        done = subprocess.run(
            [*LINNET, *args], env=environment, input=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    for revision in REVISIONS:
        linnet("install", "--set", "profile=minimal", "--set", f"revision={revision}", "-y")
    planes = istiods(others)
    print("| what | figure |\n| --- | --- |")
    print(f"| a revision at rest | {', '.join(f'{resident(planes[one]):.0f} MB' for one in REVISIONS)} RSS |")
    linnet("kubectl", "create", "namespace", "shop")
    linnet("kubectl", "label", "namespace", "shop", "istio-injection=enabled")
    apps = "".join(_DEPLOYMENT.format(number=number) for number in range(PODS))
    linnet("kubectl", "apply", "-f", "-", given=apps)
    linnet("kubectl", "rollout", "status", "deployment", "-n", "shop")
    before, began = {one: cpu(planes[one]) for one in REVISIONS}, time.perf_counter()
    linnet("kubectl", "label", "namespace", "shop", "istio-injection-", "istio.io/rev=canary")
    linnet("kubectl", "rollout", "restart", "deployment", "-n", "shop")
    linnet("kubectl", "rollout", "status", "deployment", "-n", "shop")
    wall = time.perf_counter() - began
    spent = [cpu(planes[one]) - before[one] for one in REVISIONS]
    held = [f"{resident(planes[one]):.0f} MB" for one in REVISIONS]
    print(f"| {PODS} Deployments, from the label to the last pod on the canary | {wall:.1f} s wall |")
    print(f"| CPU of the old and of the new istiod meanwhile | {spent[0]:.2f} s, {spent[1]:.2f} s |")
    print(f"| their memory afterwards | {', '.join(held)} RSS |")


def main() -> None:
    """On a cluster of its own."""
    others = frozenset(int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    with tempfile.TemporaryDirectory(prefix="lb-", dir="/tmp") as directory:
        os.mkdir(f"{directory}/r", mode=0o700)
        environment = {**os.environ, "XDG_STATE_HOME": f"{directory}/s", "XDG_RUNTIME_DIR": f"{directory}/r"}
        subprocess.run([*LINNET, "local", "up"], env=environment, check=True, capture_output=True)
        try:
            shown = subprocess.run(
                [*LINNET, "local", "env"], env=environment, check=True, capture_output=True, text=True
            ).stdout
            exports = dict(line.removeprefix("export ").split("=", 1) for line in shown.splitlines())
            measure({**environment, "KUBECONFIG": exports["KUBECONFIG"]}, others)
        finally:
            subprocess.run(
                [*LINNET, "local", "down", "--purge"], env=environment, check=False, capture_output=True
            )


if __name__ == "__main__":
    main()
