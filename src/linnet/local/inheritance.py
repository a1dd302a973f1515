"""What the daemon hands to the processes that it forks, and how they answer."""

import os
import socket
from dataclasses import dataclass

from linnet.local.settings import Settings


@dataclass(slots=True)
class Inheritance:
    """What the processes get from the daemon."""

    settings: Settings
    namespace: int  # the node's network namespace
    api: socket.socket  # on the host's loopback
    api_inside: socket.socket  # 10.96.0.1:443
    kubelet: socket.socket  # 10.244.0.1:10250
    ready: int  # a pipe: a process writes its name when it serves


def say_ready(inheritance: Inheritance, name: str) -> None:
    """Tell whoever waits for the cluster that a process serves (`!name`: that it cannot)."""
    try:
        os.write(inheritance.ready, name.encode() + b"\n")
    except BrokenPipeError:
        pass  # nobody waits any more
