"""A local cluster of its own for a module's tests, and the command line that drives it."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from demo.play import ROOT, environment
from demo.shell import Shell

NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"
)
NEEDS_KUBECTL = pytest.mark.skipif(
    not shutil.which("kubectl"),
    reason="needs the real kubectl: install kubernetes-client or google-cloud-cli-kubectl",
)


class Cluster:
    """A running local cluster, and the programs that a person calls on it."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables

    @property
    def kubeconfig(self) -> str:
        """Path of the administrator's kubeconfig."""
        return self.variables["KUBECONFIG"]

    def call(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program, whatever its exit code; `text` is typed, then input ends."""
        return subprocess.run(
            command,
            env=self.variables,
            input=text,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
            cwd=ROOT,
        )

    def attempt(self, *args: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of `linnet`, whatever its exit code."""
        return self.call("linnet", *args, text=answer)

    def linnet(self, *args: str) -> str:
        """The output of a command that succeeds."""
        return printed(self.attempt(*args))

    def kubectl(self, *args: str, text: str = "") -> str:
        """The output of the real kubectl, which succeeds."""
        return printed(self.call("kubectl", *args, text=text))


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """What a program that succeeded has printed."""
    assert done.returncode == 0, f"{' '.join(done.args)}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def short_home() -> Iterator[Path]:
    """A folder for a cluster's state and sockets; those have paths of at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="lt-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that is gone without a trace afterwards."""
    with short_home() as home:
        made = Cluster(environment(home / "s", home / "r"))
        try:
            made.linnet("local", "up")
            lines = made.linnet("local", "env").splitlines()
            exports = dict(line.removeprefix("export ").split("=", 1) for line in lines)
            made.variables["KUBECONFIG"] = exports["KUBECONFIG"]
            yield made
        finally:
            made.linnet("local", "down", "--purge")


class Typed:
    """A shell on a running local cluster; each command must end as it should."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def run(self, command: str, *, code: int = 0) -> str:
        """What a command prints that ends with that code."""
        outcome = self.shell.type(command)
        assert outcome.code == code, f"{command}\n{outcome.output}"
        return outcome.output


@contextmanager
def typed() -> Iterator[Typed]:
    """As `cluster`, for commands as a person types them."""
    with short_home() as home, Shell(environment(home / "s", home / "r"), directory=str(ROOT)) as shell:
        made = Typed(shell)
        try:
            made.run("linnet local up")
            made.run('eval "$(linnet local env)"')
            yield made
        finally:
            made.run("linnet local down --purge")


async def until(holds: Callable[[], Awaitable[object]], seconds: float = 100) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it never was.
    """
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)
