"""Play one script of the guide on a cluster, under load, and say whether each step did what the page says."""

import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from demo.client import LoadClient, Report
from demo.guide import PAGE, Command, Step, section, shows
from demo.load import CallerLogs, caller_logs, gateway_load
from demo.shell import Outcome, Shell
from linnet.kube.config import from_kubeconfig

ROOT = Path(__file__).parent.parent
NAMESPACE = "test-ns"
CALLERS = "app=caller"
NOTHING: Mapping[str, str] = MappingProxyType({})
ANSWERS_WITHIN = 180.0  # seconds after the rollout until the gateway must answer


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


def play(
    shell: Shell,
    title: str,
    say: Callable[[str], None],
    *,
    page: Path = PAGE,
    instead: Mapping[str, str] = NOTHING,
) -> Played:
    """Type a section's commands; the load starts when the example has rolled out and its gateway answers.

    `instead` maps commands of the page to those that are typed in their place.

    Raises:
        Failed: a command's exit code or output is not what the page says.
    """
    outcomes: list[Outcome] = []
    load = _Load(shell, say)
    with load.running:
        for step in section(title, page):
            outcomes += _type(shell, step, say, load, instead)
        gateway, callers = load.reports()
        return Played(tuple(outcomes), gateway, callers)


class _Load:
    """Notices when the example is there; from then on there is load."""

    def __init__(self, shell: Shell, say: Callable[[str], None]) -> None:
        self._shell, self._say = shell, say
        self._applied = False
        self._gateway: LoadClient | None = None
        self._callers: CallerLogs | None = None
        self.running = ExitStack()

    def typed(self, line: str) -> None:
        """A command has been typed. Raises Failed when the example does not answer."""
        self._applied |= "examples/app.yaml" in line
        if self._gateway or not (self._applied and line.startswith("kubectl rollout status")):
            return
        url = gateway_url(self._shell)
        self._say(f"\n# the gateway answers at {url}; from now on there is a steady load through it\n")
        config = from_kubeconfig(self._shell.quiet("echo $KUBECONFIG").output.strip())
        self._callers = self.running.enter_context(caller_logs(config, NAMESPACE, CALLERS))
        self._gateway = self.running.enter_context(gateway_load(url))

    def reports(self) -> tuple[Report, Mapping[str, Report]]:
        """End the load through the gateway; what all clients say. Raises Failed when there was none."""
        if self._gateway is None or self._callers is None:
            raise Failed("the page deploys no example")
        return self._gateway.stop(), self._callers.reports()


def _type(
    shell: Shell, step: Step, say: Callable[[str], None], load: _Load, instead: Mapping[str, str]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for command in step.commands:
        if "| jq" in command.line and not shutil.which("jq"):
            say("\n# skipped, there is no jq on this machine: " + command.line + "\n")
            return outcomes
        outcome = shell.type(instead.get(command.line, command.line), answer=command.answer)
        outcomes.append(outcome)
        if outcome.code:
            raise Failed(f"exit code {outcome.code}: {outcome.command}\n{outcome.output}")
        load.typed(command.line)
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
    address, problem = "", "the Service has no address"
    while time.monotonic() < deadline:
        address = address or shell.quiet(command).output.strip()
        if address:
            try:
                with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                    answer.read()
                return f"http://{address}/"
            except OSError as error:
                problem = f"http://{address}/: {error}"
        time.sleep(0.1)
    raise Failed(f"the gateway does not answer: {problem}")


def commands(title: str) -> tuple[Command, ...]:
    """All commands of a section."""
    return tuple(command for step in section(title) for command in step.commands)
