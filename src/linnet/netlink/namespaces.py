"""Network namespaces: make one, act inside one, and sockets that belong to one.

A namespace is a file descriptor here. Entering one changes the calling thread only, and only between
statements that do not await, so an event loop may do it.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from linnet.netlink.linux import CLONE_NEWNET, setns, unshare

_MINE = "/proc/thread-self/ns/net"


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Run the body of the `with` statement in a network namespace; it must not await."""
    mine = os.open(_MINE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(mine, CLONE_NEWNET)
    finally:
        os.close(mine)


def new_namespace() -> int:
    """A file descriptor of a new network namespace; the calling thread stays where it was.

    The namespace lives as long as a process, a socket or a file descriptor refers to it.

    Raises:
        PermissionError: without CAP_SYS_ADMIN.
    """
    mine = os.open(_MINE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        try:
            return os.open(_MINE, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            setns(mine, CLONE_NEWNET)
    finally:
        os.close(mine)


def socket_in(
    namespace: int | None, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> socket.socket:
    """A non-blocking socket of a namespace (None: of this thread's own)."""
    if namespace is None:
        made = socket.socket(family, kind, protocol)
    else:
        with inside(namespace):
            made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def listener_in(namespace: int | None, host: str, port: int, *, backlog: int = 1024) -> socket.socket:
    """A non-blocking TCP socket of a namespace that listens at `host:port`. Raises OSError."""
    made = socket_in(namespace)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(backlog)
    except OSError:
        made.close()
        raise
    return made
