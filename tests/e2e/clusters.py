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
from demo.play import environment

NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"
)
NEEDS_KUBECTL = pytest.mark.skipif(
    not shutil.which("kubectl"),
    reason="needs the real kubectl: install kubernetes-client or google-cloud-cli-kubectl",
)


class Cluster:
    """A running local cluster, and `linnet` on it."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables

    @property
    def kubeconfig(self) -> str:
        """Path of the administrator's kubeconfig."""
        return self.variables["KUBECONFIG"]

    def attempt(self, *args: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of `linnet`, whatever its exit code; `answer` is typed, else input ends at once."""
        return subprocess.run(
            ["linnet", *args],
            env=self.variables,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
            input=answer or "",
        )

    def linnet(self, *args: str) -> str:
        """The output of a command that succeeds."""
        done = self.attempt(*args)
        assert done.returncode == 0, f"linnet {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster that is gone without a trace afterwards."""
    home = Path(tempfile.mkdtemp(prefix="lt-"))  # short: sockets have paths of at most 107 bytes
    made = Cluster(environment(home / "s", home / "r"))
    try:
        made.linnet("local", "up")
        lines = made.linnet("local", "env").splitlines()
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        made.variables["KUBECONFIG"] = exports["KUBECONFIG"]
        yield made
    finally:
        made.linnet("local", "down", "--purge")
        shutil.rmtree(home, ignore_errors=True)


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
