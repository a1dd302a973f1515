"""The gRPC health check of probes: `grpc.health.v1.Health/Check`, over a socket into the pod.

Source: gRPC Health Checking Protocol.
"""

import asyncio
import struct

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError

from linnet.local.node import fetch
from linnet.local.node.runtime import Sandbox

_SERVING = 1


async def check(sandbox: Sandbox, port: int, service: str, *, timeout: float) -> None:
    """Return when the service says SERVING. Raises OSError with what it says instead."""
    try:
        async with asyncio.timeout(timeout):
            connection = await fetch.dial(sandbox, sandbox.ip, port, timeout)
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                status, answer = await _call(reader, writer, f"{sandbox.ip}:{port}", service)
            finally:
                writer.close()
    except TimeoutError as error:
        raise TimeoutError(f"timeout: health rpc did not complete within {timeout:g}s") from error
    except ProtocolError as error:
        raise ConnectionError(f"error: not gRPC: {error}") from error
    if status != "0":
        raise ConnectionError(f"error: health rpc failed with status {status}")
    # HealthCheckResponse{status = 1}; an absent field is UNKNOWN
    value = answer[6] if len(answer) >= 7 and answer[5] == 0x08 else 0
    if value != _SERVING:
        raise ConnectionError(f"service unhealthy (responded with {value})")


async def _call(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str
) -> tuple[str, bytes]:
    """The gRPC status and the framed message of the answer."""
    http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    http.initiate_connection()
    name = service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""  # service names are short
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", fetch.AGENT),
    ]
    http.send_headers(1, headers)
    http.send_data(1, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
    status, answer = "2", b""
    while True:
        writer.write(http.data_to_send())
        data = await reader.read(2**14)
        if not data:
            raise ConnectionError("error: the connection was closed")
        for event in http.receive_data(data):
            status = _status(event) or status
            if isinstance(event, DataReceived):
                answer += event.data
            if isinstance(event, StreamReset):
                raise ConnectionError("error: the stream was reset")
            if isinstance(event, StreamEnded):
                return status, answer


def _status(event: Event) -> str:
    """The `grpc-status` that headers or trailers carry."""
    if isinstance(event, ResponseReceived | TrailersReceived):
        return next((str(value) for key, value in event.headers or () if str(key) == "grpc-status"), "")
    return ""
