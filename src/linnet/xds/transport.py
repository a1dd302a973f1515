"""What a gRPC call shows of its caller, and the codec of servers that speak bytes as well as messages."""

from collections.abc import Mapping
from typing import Any

from grpclib.encoding.base import CodecBase
from grpclib.server import Stream as Call
from msgspec import Struct


class Caller(Struct, frozen=True):
    """Who opened a call, as far as the transport knows. Only `certificate` is proven."""

    host: str
    """Address of the peer; empty for a unix socket."""
    port: int = 0
    secure: bool = False
    """The call came over TLS."""
    certificate: tuple[str, ...] = ()
    """URI names of the client certificate, which was verified against the mesh's roots."""
    token: str = ""
    """The bearer token; not yet reviewed."""
    cluster: str = ""
    """The cluster that the caller says it is in."""

    @property
    def loopback(self) -> bool:
        """The caller is on this machine (or in this pod)."""
        return not self.host or self.host == "::1" or self.host.removeprefix("::ffff:").startswith("127.")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.host else "unix"


class Codec(CodecBase):
    """Messages of protobuf, and plain bytes for handlers that read and write the wire format themselves."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:  # noqa: ARG002 (signature of the library)
        """Bytes of a message."""
        if isinstance(message, bytes):
            return message
        data = message.SerializeToString()
        assert isinstance(data, bytes)
        return data

    def decode(self, data: bytes, message_type: Any) -> Any:
        """A message from its bytes."""
        return data if message_type is bytes else message_type.FromString(data)


def caller_of(call: "Call[Any, Any]") -> Caller:
    """The caller of a gRPC call."""
    address = call.peer.addr() or ()
    host, port = (str(address[0]), int(address[1])) if len(address) >= 2 else ("", 0)
    certificate = call.peer.cert()
    names = certificate.get("subjectAltName", ()) if certificate else ()
    metadata: Mapping[str, Any] = call.metadata or {}
    scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
    return Caller(
        host=host,
        port=port,
        secure=call.peer._transport.get_extra_info("ssl_object") is not None,  # noqa: SLF001
        certificate=tuple(value for kind, value in names if kind == "URI"),
        token=token.strip() if scheme.lower() == "bearer" else "",
        cluster=str(metadata.get("clusterid", "")),
    )


def abort(call: "Call[Any, Any]") -> None:
    """Cut the connection of a caller that does not read: anything said to it would wait as long."""
    call.peer._transport.abort()  # noqa: SLF001 (the library offers no other way)
