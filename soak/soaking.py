"""A whole soak: a cluster of its own, the mesh, the load, the cycles; what the load clients said at last."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from string import Template
from typing import Any

from demo.client import LoadClient
from demo.play import ROOT, environment, gateway_url
from demo.shell import Shell
from msgspec import Struct

from linnet.kube.config import from_kubeconfig
from soak import shares
from soak.cycle import NAMESPACE, REVISIONS, SYSTEM, Cluster, cycle
from soak.faults import Fault, Faults
from soak.verdict import GATEWAY, Judged, Report, judged
from soak.watching import watching

_HERE = Path(__file__).parent
_FIRST_ANSWERS = 60  # seconds


class Plan(Struct, frozen=True):
    """What is asked for. `grace` is that of the pods, in seconds; `life` that of streams, 0: unlimited."""

    cycles: int = 10
    rate: float = 500.0
    seed: int = 1
    faults: bool = False
    grace: int = 15
    life: float = 0.0


class Soaked(Struct, frozen=True):
    """What came of it."""

    reports: Mapping[str, Report]
    silent: Sequence[str]  # callers that gave no report
    failures: Sequence[Judged]
    faults: Sequence[Fault]
    seconds: float

    @property
    def bad(self) -> bool:
        """Whether anything failed that is not excused, or something is not known."""
        return bool(self.silent) or any(not one.excuse for one in self.failures)


def soak(plan: Plan, state: Path, run: Path, say: Callable[[str], None]) -> Soaked:
    """Do it all, and leave nothing behind. Raises Failed, TimeoutError."""
    with Shell(environment(state, run), directory=str(ROOT)) as shell:
        cluster = Cluster(shell, again=plan.faults)
        try:
            cluster.run("linnet local up")
            cluster.run('eval "$(linnet local env)"')
            return _soak(plan, cluster, shell, state, say)
        finally:
            shell.type("linnet local down --purge")


def _soak(plan: Plan, cluster: Cluster, shell: Shell, state: Path, say: Callable[[str], None]) -> Soaked:
    old, new = REVISIONS
    cluster.install(old, gateways=True)
    cluster.run(f"kubectl create namespace {NAMESPACE}")
    cluster.run(f"kubectl label namespace {NAMESPACE} istio.io/rev={old}")
    config = from_kubeconfig(cluster.run("echo $KUBECONFIG", quiet=True).strip())
    with watching(config, NAMESPACE, SYSTEM) as watched:
        cluster.run(f"kubectl apply -f {_HERE / 'strict.yaml'}")
        cluster.run(f"kubectl apply -n {NAMESPACE} -f - <<'END'\n{manifest(plan)}\nEND", quiet=True)
        for app in ("web", "caller"):
            cluster.run(f"kubectl rollout status deployment -n {NAMESPACE} {app} --timeout 180s")
        address = gateway_url(shell).removeprefix("http://").rstrip("/")
        targets = shares.targets(shares.outside(address), plan.rate / 2, life=plan.life)
        began = time.monotonic()
        with ExitStack() as load:
            entrance = load.enter_context(LoadClient(GATEWAY, [f"--wait={_FIRST_ANSWERS}", *targets]))
            faults = Faults(plan.seed, state, f"http://{address}/", watched.settled, say)
            if plan.faults:
                load.enter_context(faults)
            for number in range(plan.cycles):
                say(f"\n## cycle {number + 1} of {plan.cycles}: from {old} to {new}")
                cycle(cluster, old, new, say)
                old, new = new, old
            if plan.faults:
                faults.stop()
            outside = entrance.stop().counted
        seconds = time.monotonic() - began
        cluster.run(f"kubectl scale deployment -n {NAMESPACE} caller --replicas 0")
        words = watched.last_words()
    reports = {GATEWAY: outside, **{pod: report for pod, report in words.items() if report}}
    died = {fault.at for fault in faults.done if fault.kind == "node"}
    silent = [
        pod
        for pod, report in words.items()
        if report is None and not any(watched.lives[pod].lived_at(moment) for moment in died)
    ]
    failures = judged(reports, watched.lives, faults.done)
    return Soaked(reports, silent, failures, tuple(faults.done), seconds)


def manifest(plan: Plan) -> str:
    """The server and its caller."""
    arguments: list[Any] = [
        *shares.targets(shares.inside(), plan.rate / 2, life=plan.life),
        *("--wait=120", "--port=8080", "--output=json"),
    ]
    text = Template((_HERE / "app.yaml").read_text())
    return text.substitute(GRACE=plan.grace, TARGETS=json.dumps(arguments))
