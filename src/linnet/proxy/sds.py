"""SDS on a unix socket: key, certificate and roots for one Envoy, pushed again when they change.

`default` is the workload's certificate, `ROOTCA` what verifies its peers. Who may connect to the socket is
the workload: it lies in a directory that only the proxy's container sees.
Source: Envoy, `envoy.service.secret.v3.SecretDiscoveryService`; Istio, names of the secrets.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from grpclib.const import Cardinality, Handler
from grpclib.exceptions import StreamTerminatedError
from grpclib.server import Server, Stream

from linnet.envoy.messages import (
    Any as PackedMessage,
)
from linnet.envoy.messages import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Resource,
    Secret,
)
from linnet.proxy.certificates import Identity

SERVICE = "/envoy.service.secret.v3.SecretDiscoveryService"
Request = TypeVar("Request")
TYPE_URL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def secrets(identity: Identity) -> dict[str, Secret]:
    """The secrets that Envoy may ask for, by name."""
    own, roots = Secret(name="default"), Secret(name="ROOTCA")
    own.tls_certificate.certificate_chain.inline_bytes = identity.chain.encode()
    own.tls_certificate.private_key.inline_bytes = identity.key.encode()
    roots.validation_context.trusted_ca.inline_bytes = identity.roots.encode()
    return {"default": own, "ROOTCA": roots}


class SecretServer:
    """The secrets of one workload and the streams that want them."""

    def __init__(self) -> None:
        self._packed: dict[str, PackedMessage] = {}
        self._version = 0
        self._changed: set[asyncio.Event] = set()
        self.pushed = 0

    def publish(self, identity: Identity) -> None:
        """Offer a new identity; streams send what changed."""
        self._version += 1
        packed = {
            name: PackedMessage(type_url=TYPE_URL, value=secret.SerializeToString(deterministic=True))
            for name, secret in secrets(identity).items()
        }
        # what did not change (mostly the roots) keeps its message, and is not sent again
        self._packed = {
            name: self._packed[name] if self._packed.get(name) == message else message
            for name, message in packed.items()
        }
        for event in self._changed:
            event.set()

    def __mapping__(self) -> dict[str, Handler]:
        """The methods by path, as grpclib wants them."""
        stream = Cardinality.STREAM_STREAM
        return {
            f"{SERVICE}/StreamSecrets": Handler(self._whole, stream, DiscoveryRequest, DiscoveryResponse),
            f"{SERVICE}/DeltaSecrets": Handler(
                self._delta, stream, DeltaDiscoveryRequest, DeltaDiscoveryResponse
            ),
        }

    async def _whole(self, stream: Stream[DiscoveryRequest, DiscoveryResponse]) -> None:
        """State of the world: each request names all secrets that the stream wants."""

        def take(request: DiscoveryRequest, wanted: set[str]) -> None:
            wanted.clear()
            wanted.update(request.resource_names)

        async def send(names: list[str], nonce: str) -> None:
            await stream.send_message(
                DiscoveryResponse(
                    version_info=str(self._version),
                    type_url=TYPE_URL,
                    nonce=nonce,
                    resources=[self._packed[name] for name in names],
                )
            )

        await self._converse(stream, take, send)

    async def _delta(self, stream: Stream[DeltaDiscoveryRequest, DeltaDiscoveryResponse]) -> None:
        """Delta: requests change what the stream wants."""

        def take(request: DeltaDiscoveryRequest, wanted: set[str]) -> None:
            wanted.update(request.resource_names_subscribe)
            wanted.difference_update(request.resource_names_unsubscribe)

        async def send(names: list[str], nonce: str) -> None:
            version = str(self._version)
            await stream.send_message(
                DeltaDiscoveryResponse(
                    system_version_info=version,
                    type_url=TYPE_URL,
                    nonce=nonce,
                    resources=[
                        Resource(name=name, version=version, resource=self._packed[name]) for name in names
                    ],
                )
            )

        await self._converse(stream, take, send)

    async def _converse(
        self,
        stream: Stream[Request, Any],
        take: Callable[[Request, set[str]], None],
        send: Callable[[list[str], str], Awaitable[None]],
    ) -> None:
        """Until the client ends: send each wanted secret once, and again when it changed.

        An ACK asks for what was sent already, so nothing follows; a NACK is not answered with the same again.
        """
        wanted: set[str] = set()
        sent: dict[str, PackedMessage] = {}
        changed, nonce = asyncio.Event(), 0

        async def receive() -> None:
            while (request := await stream.recv_message()) is not None:
                take(request, wanted)
                changed.set()
            raise _Ended

        self._changed.add(changed)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(receive(), name="sds-requests")
                while True:
                    await changed.wait()
                    changed.clear()
                    sent = {name: message for name, message in sent.items() if name in wanted}
                    due = sorted(
                        name
                        for name in wanted & self._packed.keys()
                        if sent.get(name) is not self._packed[name]
                    )
                    if due:
                        sent.update((name, self._packed[name]) for name in due)
                        nonce += 1
                        await send(due, str(nonce))
                        self.pushed += 1
        except* (_Ended, StreamTerminatedError):
            pass
        finally:
            self._changed.discard(changed)


class _Ended(Exception):
    """The client has ended its stream."""


@asynccontextmanager
async def serving(server: SecretServer, path: str) -> AsyncIterator[None]:
    """Serve on a unix socket at `path` (any length) while the context lasts. Raises OSError."""
    service = Server([server])
    await service.start(sock=listen_unix(path))
    try:
        yield
    finally:
        service.close()
        await service.wait_closed()


def listen_unix(path: str) -> socket.socket:
    """A listening unix socket; the name may be longer than the 107 bytes that the kernel takes at once."""
    directory, name = os.path.split(path)
    os.makedirs(directory, exist_ok=True)
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        short = f"/proc/self/fd/{handle}/{name}"
        if os.path.lexists(short):
            os.unlink(short)
        sock.bind(short)
        # Envoy may have another user; the directory is its container's alone
        os.chmod(short, 0o666)  # noqa: S103
        sock.listen(16)
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(handle)
    return sock
