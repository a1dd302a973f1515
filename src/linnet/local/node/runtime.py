"""What the kubelet asks of the thing that runs pods: sandboxes, processes in them, sockets into them.

    kubelet ── Sandboxes.create(SandboxSpec) ─▶ Sandbox ── start(Command, Stdio) ─▶ Process
                                                  └─ connect / listen: sockets of the pod's network

A sandbox is a network, pid, UTS, IPC namespace with one pod IP and an init process that reaps; it lives
until `destroy` or until its init dies. Each process gets a mount namespace of its own, made from
`Command.mounts`.
"""

import socket
from typing import Protocol

from msgspec import Struct


class Mount(Struct, frozen=True):
    """A host file or directory bound into a container at `target`."""

    source: str
    target: str
    read_only: bool = True


class SandboxSpec(Struct, frozen=True):
    """A pod before its containers; the network gives it an address, one that was used long ago."""

    uid: str
    namespace: str
    name: str
    hostname: str
    resolv_conf: str  # content of /etc/resolv.conf
    hosts: tuple[tuple[str, str], ...] = ()  # extra lines of /etc/hosts: (ip, names)
    directory: str = ""  # scratch directory of this pod under the state directory; exists
    host_network: bool = False  # it shares the node's network and address


class Command(Struct, frozen=True):
    """One process of a container (its main process, or an exec)."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()  # complete: nothing is inherited
    cwd: str = "/"
    uid: int | None = None  # None: root of the sandbox
    gid: int | None = None
    groups: tuple[int, ...] = ()  # further groups of the user
    capabilities: tuple[str, ...] | None = None  # names without CAP_; None: the usual set of containers
    mounts: tuple[Mount, ...] = ()
    read_only_root: bool = False
    tty: bool = False  # stdin/stdout/stderr are one pty slave that the caller passes
    python: str = ""  # "module:function": run in the forked process instead of exec (argv are its arguments)


class Stdio(Struct, frozen=True):
    """Descriptors that become 0, 1, 2 of the process; None is /dev/null. The caller closes its own copies."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


class Process(Protocol):
    """A running process of a sandbox."""

    @property
    def pid(self) -> int:
        """Its pid in the pid namespace of the node process."""
        ...

    async def wait(self) -> int:
        """Its exit code; 128 + signal number when a signal ended it. May be awaited by several tasks."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        ...


class Sandbox(Protocol):
    """One pod's namespaces."""

    @property
    def ip(self) -> str:
        """The pod IP."""
        ...

    async def start(self, command: Command, stdio: Stdio, *, like: Process | None = None) -> Process:
        """Run a command. `like`: share the mount namespace of that process (exec).

        Raises:
            FileNotFoundError, PermissionError: the program cannot be executed (argv[0] in the message).
        """
        ...

    async def connect(self, port: int, *, host: str = "127.0.0.1", timeout: float = 1.0) -> socket.socket:
        """A non-blocking TCP socket of the pod's network, connected. Raises OSError."""
        ...

    def listen(self, port: int, *, host: str = "0.0.0.0") -> socket.socket:
        """A non-blocking TCP socket of the pod's network, listening. Raises OSError."""
        ...

    async def destroy(self) -> None:
        """Kill everything in it and free its address. Idempotent."""
        ...

    async def ended(self) -> None:
        """Return when the sandbox is gone, for whatever reason."""
        ...


class Sandboxes(Protocol):
    """Makes sandboxes."""

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """A new sandbox with its network up. Raises OSError with the step that failed in its message."""
        ...
