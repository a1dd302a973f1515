"""Connect from a network namespace without blocking the event loop."""

import asyncio
import socket

from linnet.netlink.namespaces import socket_in


async def connected(namespace: int | None, host: str, port: int, *, timeout: float) -> socket.socket:
    """A non-blocking TCP socket of a namespace, connected to an IPv4 address within `timeout` seconds.

    Raises:
        OSError, TimeoutError: it could not be.
    """
    made = socket_in(namespace)
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(made, (host, port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made
