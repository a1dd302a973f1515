"""HTTP over sockets that somebody else connects: the way into the network of the pods."""

import asyncio
import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from linnet.local.api.options import Dial


class Dialled(aiohttp.BaseConnector):
    """Connections over sockets that `dial` has connected, with TLS for https."""

    def __init__(self, dial: Dial, tls: ssl.SSLContext) -> None:
        super().__init__(limit=0)
        self._through = dial
        self._tls = tls

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        del traces  # nobody traces these
        loop = asyncio.get_running_loop()
        host, port = req.url.host or "", req.url.port or 0
        secure = req.url.scheme == "https"
        async with asyncio.timeout(timeout.sock_connect):
            connected = await self._through(host, port)
            _, protocol = await loop.create_connection(
                lambda: ResponseHandler(loop),
                sock=connected,
                ssl=self._tls if secure else None,
                server_hostname=host if secure else None,
            )
        return protocol


async def plain(host: str, port: int) -> socket.socket:
    """Connect from this process's own network."""
    connecting = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connecting.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connecting, (host, port))
    except BaseException:
        connecting.close()
        raise
    return connecting
