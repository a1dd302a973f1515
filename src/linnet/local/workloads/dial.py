"""Connections by name; a name's address is kept for a few seconds, as most clients do.

Resolving goes through a few threads. Asked for each connection, a slow name server would stop all of them.
"""

import asyncio
import socket

from linnet.local.workloads.http1 import HEAD_LIMIT, Failed

_KEPT = 5.0  # seconds, the time to live in cluster DNS
_known: dict[tuple[str, asyncio.AbstractEventLoop], tuple[float, asyncio.Future[str]]] = {}


async def connected(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A new connection. Raises Failed."""
    try:
        return await asyncio.open_connection(await address(host), port, limit=HEAD_LIMIT)
    except OSError as error:
        raise Failed("connect", str(error)) from error


async def address(host: str) -> str:
    """An address of a host; who asks while somebody else does waits for the same answer. Raises OSError."""
    loop = asyncio.get_running_loop()
    until, answer = _known.get((host, loop), (0.0, None))
    if answer is None or loop.time() >= until:
        answer = loop.create_task(_resolve(host))
        _known[host, loop] = (loop.time() + _KEPT, answer)
        answer.add_done_callback(lambda done: _forget(host, loop, done))
    return await asyncio.shield(answer)


async def _resolve(host: str) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


def _forget(host: str, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[str]) -> None:
    """A name that could not be resolved is asked for again."""
    if answer.cancelled() or answer.exception() is not None:
        _known.pop((host, loop), None)
