"""What the server is told when it starts."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

Dial = Callable[[str, int], Awaitable[socket.socket]]

VERSION = "v1.35.4"


class Options(Struct, frozen=True):
    """`state` is the server's directory; the first socket is the one that kubeconfigs name.

    `dial(host_ip, port)` gives a connected, non-blocking socket in the pod network, for webhooks and the
    kubelet; without it the server connects from its own network.
    """

    state: Path
    sockets: tuple[socket.socket, ...]
    dial: Dial | None = None
    node: str = "node-1"
    node_address: str = "127.0.0.1"
    service_network: str = "10.96.0.0/16"
    synchronous: str = "FULL"  # SQLite's: FULL keeps every acknowledged write
    context: str = "linnet"  # name of cluster, user and context in kubeconfigs
    ready: Callable[[], None] = lambda: None  # called once when requests are served
