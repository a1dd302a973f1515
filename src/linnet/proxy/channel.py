"""gRPC calls over a socket that the host has connected already."""

import socket
import ssl
from typing import Any

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol


class SocketChannel(Channel):
    """A channel of one connection on a given socket; with `tls` its peer is verified as `name`."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        name: str,
        tls: ssl.SSLContext | None = None,
        codec: CodecBase | None = None,
    ) -> None:
        super().__init__(name, 443 if tls else 80, ssl=tls, codec=codec)
        self._sock: socket.socket | None = sock
        self._tls, self._name = tls, name

    async def _create_connection(self) -> H2Protocol:
        sock, self._sock = self._sock, None
        if sock is None:
            raise ConnectionError(f"the connection to {self._name} is gone")
        _, protocol = await self._loop.create_connection(
            self._protocol_factory,
            sock=sock,
            ssl=self._tls,
            server_hostname=self._name if self._tls else None,
        )
        return protocol

    def close(self) -> None:
        """Close the connection, also when it was never used."""
        if self._sock is not None:
            self._sock.close()
        super().close()


class _Bytes(CodecBase):
    """Messages as the bytes that they are."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: Any) -> bytes:  # noqa: ARG002
        return message

    def decode(self, data: bytes, message_type: Any) -> bytes:  # noqa: ARG002
        return data


async def health(sock: socket.socket, service: str) -> bool:
    """Whether `grpc.health.v1.Health/Check` says SERVING. Raises OSError.

    Both messages have one field 1 (a name; a status, 1 being SERVING), so they are written by hand.
    """
    name = service.encode()
    if len(name) > 127:
        raise ConnectionError("the name of the service is too long for a health check")
    channel = SocketChannel(sock, name="localhost", codec=_Bytes())
    try:
        check = UnaryUnaryMethod[bytes, bytes](channel, "/grpc.health.v1.Health/Check", bytes, bytes)
        answer = await check(bytes([0x0A, len(name)]) + name if name else b"")
    except (GRPCError, StreamTerminatedError) as error:
        raise ConnectionError(f"the health check failed: {error}") from error
    finally:
        channel.close()
    return answer[:2] == b"\x08\x01"
