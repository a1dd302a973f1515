"""A node namespace, a forker and sandboxes for tests that need the kernel; skipped where forbidden."""

import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.local.node.own import OWN

import linnet
from linnet.local import preflight
from linnet.local.node.forker import Forker, fork_forker
from linnet.local.node.messages import Layout
from linnet.local.node.network import Network, make_node_namespace
from linnet.local.node.rootfs import private_files
from linnet.local.node.runtime import Command, Process, Sandbox, SandboxSpec, Stdio
from linnet.local.node.sandboxes import LocalSandboxes
from linnet.local.paths import Paths

PATH = (("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),)

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def allowed(tmp_path: Path) -> None:
    """Skip where namespaces, mounts or nf_tables cannot be had."""
    found = preflight.problems(Paths(str(tmp_path), "/tmp/linnet-test"))
    if found:
        pytest.skip(found[0])


@pytest.fixture
def namespace(allowed: None) -> Iterator[int]:
    """A node's network namespace."""
    made = make_node_namespace()
    yield made
    os.close(made)


@pytest.fixture
def network(namespace: int) -> Iterator[Network]:
    made = Network(namespace)
    yield made
    made.close()


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A directory that pods shall not see."""
    made = tmp_path / "state"
    made.mkdir()
    (made / "ca.key").write_text("secret")
    return made


@pytest.fixture
def forker(allowed: None, tmp_path: Path, hidden: Path) -> Iterator[Forker]:
    scratch = tmp_path / "root"
    scratch.mkdir()
    source = str(Path(linnet.__file__).parent)
    prefixes = tuple(sorted({sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix)}))
    exposed = (*prefixes, source)
    layout = Layout(str(scratch), ("/root", "/home", str(hidden)), exposed, private_files())
    made = fork_forker(layout)
    yield made
    made.control.close()
    os.close(made.pidfd)


@pytest.fixture
def sandboxes(forker: Forker, network: Network) -> LocalSandboxes:
    return LocalSandboxes(forker, network)


@pytest.fixture
def spec() -> SandboxSpec:
    return SandboxSpec("uid", "default", "pod", "pod-1", "nameserver 10.96.0.10\n")


@pytest.fixture
def run() -> Run:
    """Run a command in a sandbox; its exit code and what it wrote."""

    async def run(
        sandbox: Sandbox, *argv: str, like: Process | None = None, **more: object
    ) -> tuple[int, str]:
        readable, writable = os.pipe()
        command = Command(argv, **{"env": PATH, "mounts": OWN, **more})  # type: ignore[arg-type]
        try:
            process = await sandbox.start(command, Stdio(None, writable, writable), like=like)
        finally:
            os.close(writable)
        code = await process.wait()
        with os.fdopen(readable, "rb") as output:
            return code, output.read().decode()

    return run
