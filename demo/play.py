"""Play one script of the guide on a cluster, under load, and say whether each step did what the page says."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from demo.guide import Command, Step, section, shows
from demo.load import CallerLogs, GatewayLoad, Report
from demo.shell import Outcome, Shell
from linnet.kube.config import from_kubeconfig

ROOT = Path(__file__).parent.parent
NAMESPACE = "test-ns"
CALLERS = "app=caller"
ANSWERS_WITHIN = 60.0  # seconds after the rollout until the gateway must answer


class Failed(Exception):
    """A step that did not do what the page says."""


class Played(Struct, frozen=True):
    """A script that was played to its end."""

    outcomes: tuple[Outcome, ...]
    gateway: Report
    callers: Mapping[str, Report]

    @property
    def requests(self) -> int:
        """All requests of all clients."""
        return self.gateway.requests + sum(report.requests for report in self.callers.values())

    @property
    def failed(self) -> int:
        """All failed requests of all clients."""
        return self.gateway.failed + sum(report.failed for report in self.callers.values())


def environment(state: Path, run: Path) -> dict[str, str]:
    """The environment of the shell: Linnet's programs first, and a local cluster of its own under `state`."""
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    own = {"PATH": path, "XDG_STATE_HOME": str(state), "XDG_RUNTIME_DIR": str(run), "HOME": str(state)}
    return {**os.environ, **own, "KUBECONFIG": ""}


def play(shell: Shell, title: str, say: Callable[[str], None]) -> Played:
    """Type a section's commands; the load starts when the example has rolled out.

    Raises:
        Failed: a command's exit code or output is not what the page says.
    """
    outcomes: list[Outcome] = []
    with ExitStack() as load:
        gateway: GatewayLoad | None = None
        callers: CallerLogs | None = None
        for step in section(title):
            outcomes += _type(shell, step, say)
            if gateway is None and any("examples/app.yaml" in command.line for command in step.commands):
                url = gateway_url(shell)
                say(f"\n# the gateway answers at {url}; from now on there is a steady load through it\n")
                config = from_kubeconfig(shell.type("echo $KUBECONFIG").output.strip())
                callers = load.enter_context(CallerLogs(config, NAMESPACE, CALLERS))
                gateway = load.enter_context(GatewayLoad(url))
        if gateway is None or callers is None:
            raise Failed(f"{title}: the page deploys no example")
        report = gateway.stop()
        return Played(tuple(outcomes), report, callers.reports())


def _type(shell: Shell, step: Step, say: Callable[[str], None]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for command in step.commands:
        if "| jq" in command.line and not shutil.which("jq"):
            say("\n# skipped, there is no jq on this machine: " + command.line + "\n")
            return outcomes
        outcome = shell.type(command.line, answer=command.answer)
        outcomes.append(outcome)
        if outcome.code:
            raise Failed(f"exit code {outcome.code}: {command.line}\n{outcome.output}")
    printed = "".join(outcome.output for outcome in outcomes)
    if step.expected and not shows(step.expected, printed):
        raise Failed(
            f"not what the page says: {step.commands[-1].line}\nexpected:\n{step.expected}\ngot:\n{printed}"
        )
    return outcomes


def gateway_url(shell: Shell) -> str:
    """The gateway's address from its Service's status, once it answers. Raises Failed."""
    template = "{.status.loadBalancer.ingress[0].ip}"
    command = f"kubectl get service -n istio-system istio-ingressgateway -o jsonpath='{template}'"
    deadline = time.monotonic() + ANSWERS_WITHIN
    problem = "the Service has no address"
    while time.monotonic() < deadline:
        address = shell.quiet(command).output.strip()
        if address:
            answer = subprocess.run(
                ["python3", "-c", _ASK, f"http://{address}/"], capture_output=True, text=True, check=False
            )
            if answer.returncode == 0:
                return f"http://{address}/"
            problem = answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else "no answer"
        shell.quiet("kubectl get --raw /readyz")  # paces the loop by a round trip
    raise Failed(f"the gateway does not answer: {problem}")


_ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5).read()"


def commands(title: str) -> tuple[Command, ...]:
    """All commands of a section."""
    return tuple(command for step in section(title) for command in step.commands)
