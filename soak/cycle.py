"""One cycle: from a mesh with one revision to a mesh with another, with a change of mind in between."""

import time
from collections.abc import Callable
from pathlib import Path

from demo.shell import Shell

NAMESPACE = "soak"
SYSTEM = "istio-system"
REVISIONS = ("blue", "green")
_MESH = Path(__file__).parent / "mesh.yaml"
_APPS = ("web", "caller")
_PATIENCE = 240.0  # seconds in which a command that a fault may have hit must succeed
_PAUSE = 2.0  # seconds before it is typed again


class Failed(Exception):
    """A command that did not do what it says."""


class Cluster:
    """Commands on the cluster of a shell, which must succeed; with `again` not at once."""

    def __init__(self, shell: Shell, *, again: bool = False) -> None:
        self._shell, self._again = shell, again

    def run(self, command: str, *, quiet: bool = False) -> str:
        """Type a command, with `again` until it succeeds; what it printed. Raises Failed."""
        deadline = time.monotonic() + (_PATIENCE if self._again else 0)
        outcome = self._shell.quiet(command) if quiet else self._shell.type(command)
        while outcome.code and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            outcome = self._shell.type(command)
        if outcome.code:
            raise Failed(f"exit code {outcome.code}: {command.splitlines()[0]}\n{outcome.output}")
        return outcome.output

    def install(self, revision: str, *, gateways: bool) -> None:
        """A revision; with `gateways` they move to it."""
        later = "" if gateways else " --gateways=later"
        # one gateway is a single point of failure: with faults there are two
        two = " --set 'components.ingressGateways[0].k8s.replicaCount=2'" if self._again else ""
        self.run(f"istioctl install -f {_MESH} --set revision={revision} -y{two}{later}")

    def move(self, revision: str) -> None:
        """The namespace to a revision."""
        self.run(f"kubectl label namespace {NAMESPACE} istio.io/rev={revision} --overwrite")
        self.run(f"kubectl rollout restart deployment -n {NAMESPACE} {' '.join(_APPS)}")
        for app in _APPS:
            self.run(f"kubectl rollout status deployment -n {NAMESPACE} {app} --timeout 180s")

    def hand_over(self, revision: str) -> None:
        """The gateway to a revision, in place."""
        self.run(f"linnet gateway move --to {revision}")

    def uninstall(self, revision: str) -> None:
        """The revision that nobody uses any more."""
        self.run(f"istioctl x uninstall --revision {revision} -y")


def cycle(cluster: Cluster, old: str, new: str, say: Callable[[str], None]) -> None:
    """Install, move, roll back, move again, hand the gateway over, uninstall the old. Raises Failed."""
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("install the canary", lambda: cluster.install(new, gateways=False)),
        ("move", lambda: cluster.move(new)),
        ("roll back", lambda: cluster.move(old)),
        ("move again", lambda: cluster.move(new)),
        ("hand the gateway over", lambda: cluster.hand_over(new)),
        ("uninstall the old", lambda: cluster.uninstall(old)),
    )
    for name, step in steps:
        began = time.monotonic()
        say(f"\n# {name}")
        step()
        say(f"# {name}: {time.monotonic() - began:.1f} s")
