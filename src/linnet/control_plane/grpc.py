"""The gRPC ports: ADS and the CA on one server, in plaintext and over TLS."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from grpclib.config import Configuration
from grpclib.server import Server

from linnet.control_plane.settings import Address
from linnet.xds.transport import Codec

KEEPALIVE = 30.0  # seconds between pings; Source: Istio, --keepaliveInterval
TIMEOUT = 10.0


@asynccontextmanager
async def serving(
    services: Sequence[object], address: Address, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve gRPC; gives the port. At the end streams that are still open are cut."""
    listening = _listen(address)
    configuration = Configuration(
        _keepalive_time=KEEPALIVE,
        _keepalive_timeout=TIMEOUT,
        _http2_max_pings_without_data=0,
        _http2_min_sent_ping_interval_without_data=KEEPALIVE / 2,
    )
    server = Server(services, codec=Codec(), config=configuration)  # type: ignore[arg-type]
    await server.start(sock=listening, ssl=tls, backlog=1024)
    try:
        yield listening.getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(2):
            await server.wait_closed()


def _listen(address: Address) -> socket.socket:
    if address.host:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        listening = socket.create_server((address.host, address.port), family=family, backlog=1024)
    else:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        listening = socket.create_server(("", address.port), family=family, backlog=1024, dualstack_ipv6=both)
    listening.setblocking(False)
    return listening
