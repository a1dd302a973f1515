"""What the agent asks of the place it runs in: the node (for all pods) or a container beside Envoy (for one).

    host   = …                                        a Host: the node's, or `linnet.proxy.beside.Beside`
    agent  = Agent(read(args, env, read_file, version=…), host, log)
    status = await agent.run()                        until Envoy has ended; its exit code
    agent.terminate()                                 what SIGTERM does: drain, then end Envoy
    agent.kill()                                      what SIGKILL does

Paths are those that Envoy sees (`/etc/istio/proxy`, …); `here` says where the agent finds them.
"""

import socket
from typing import Protocol


class Envoy(Protocol):
    """A running Envoy. A `Process` of the node's runtime is one."""

    async def wait(self) -> int:
        """Its exit code; 128 + signal number when a signal ended it. May be awaited by several tasks."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        ...


class Host(Protocol):
    """Files, sockets and the Envoy process of one pod."""

    def here(self, path: str) -> str:
        """Where the agent reads and writes what Envoy's container calls `path` (absolute)."""
        ...

    async def resolve(self, name: str) -> tuple[str, ...]:
        """The IPv4 addresses of a host name as the pod sees them. Raises OSError when there are none."""
        ...

    async def dial(self, address: str, port: int) -> socket.socket:
        """A non-blocking TCP socket to the control plane, not captured by the redirect. Raises OSError."""
        ...

    async def connect(self, port: int, *, host: str = "127.0.0.1", timeout: float = 1.0) -> socket.socket:
        """A non-blocking TCP socket to a port in the pod's network, not captured either. Raises OSError."""
        ...

    def listen(self, port: int, *, host: str = "0.0.0.0") -> socket.socket:
        """A non-blocking TCP socket that listens in the pod's network. Raises OSError."""
        ...

    async def launch(self, argv: tuple[str, ...]) -> Envoy:
        """Start Envoy in its container; argv[0] is the configured path of the binary.

        Raises:
            FileNotFoundError, PermissionError: the program cannot be executed.
        """
        ...
