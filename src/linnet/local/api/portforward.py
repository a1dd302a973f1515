"""Port-forward: what kubectl opens for each connection, joined to a WebSocket of the kubelet.

    kubectl: SPDY streams (data and error for each connection), raw or inside WebSocket messages
    other clients: WebSocket with channels 2n (data) and 2n+1 (error) for the n-th of `ports`
    kubelet: one WebSocket for each connection, channel 0 data, 1 error; the first frame of each is the port

Source: Kubernetes, `portforward.k8s.io` and `v4.channel.k8s.io` port-forward protocols.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from linnet.local.api import spdy
from linnet.local.api.kubelet import Kubelet, KubeletFailed
from linnet.local.api.refusals import Refused
from linnet.local.api.upgrade import upgraded

Json = dict[str, Any]

_TUNNEL = "SPDY/3.1+portforward.k8s.io"
_CHANNELS = "v4.channel.k8s.io"
_RAW = "portforward.k8s.io"
_DATA, _ERROR = 0, 1


async def serve(request: web.BaseRequest, pod: Json, kubelet: Kubelet) -> web.StreamResponse:
    """Forward ports of a pod until the client goes.

    Raises: Refused, KubeletFailed.
    """
    if (pod.get("status") or {}).get("phase") != "Running":
        phase = (pod.get("status") or {}).get("phase", "Unknown")
        raise Refused(
            400, "BadRequest", f"unable to forward port because pod is not running. Current status={phase}"
        )
    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade == "websocket":
        socket = web.WebSocketResponse(protocols=(_TUNNEL, _CHANNELS), max_msg_size=0, compress=False)
        await socket.prepare(request)
        if socket.ws_protocol == _TUNNEL:
            await _tunnel(socket, pod, kubelet)
        else:
            await _numbered(socket, _ports(request), pod, kubelet)
        return socket
    if upgrade.startswith("spdy/"):
        async with asyncio.TaskGroup() as tasks:
            pairs = _Pairs(pod, kubelet, tasks)
            async with upgraded(request, pairs.opened, _RAW) as connection:
                await connection.ended.wait()
            pairs.cancel()
        return web.Response()
    raise Refused(400, "BadRequest", "Upgrade request required")


def _ports(request: web.BaseRequest) -> list[int]:
    texts = [part for value in request.query.getall("ports", ()) for part in value.split(",")]
    if not texts or not all(text.isdigit() and 0 < int(text) < 1 << 16 for text in texts):
        raise Refused(400, "BadRequest", 'query parameter "ports" is required')
    return [int(text) for text in texts]


async def _tunnel(socket: web.WebSocketResponse, pod: Json, kubelet: Kubelet) -> None:
    """SPDY inside the binary messages of a WebSocket."""
    outgoing: asyncio.Queue[bytes] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        pairs = _Pairs(pod, kubelet, tasks)
        connection = spdy.Connection(outgoing.put_nowait, pairs.opened)
        sending = tasks.create_task(_send_all(outgoing, socket), name="tunnel")
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    connection.feed(message.data)
        except spdy.ProtocolError as error:
            await socket.close(code=1002, message=str(error).encode())
        connection.end()
        pairs.cancel()
        sending.cancel()


async def _send_all(outgoing: "asyncio.Queue[bytes]", socket: web.WebSocketResponse) -> None:
    try:
        while True:
            await socket.send_bytes(await outgoing.get())
    except ConnectionError:
        pass  # the reading side notices


@dataclass(slots=True)
class _Pairs:
    """Data and error streams of kubectl's connections, found by their request number."""

    pod: Json
    kubelet: Kubelet
    tasks: asyncio.TaskGroup
    _waiting: dict[str, dict[str, spdy.Stream]] = field(default_factory=dict)
    _running: set["asyncio.Task[None]"] = field(default_factory=set)

    def opened(self, stream: spdy.Stream) -> None:
        number = stream.headers.get("requestid", "")
        pair = self._waiting.setdefault(number, {})
        pair[stream.headers.get("streamtype", "")] = stream
        if {"data", "error"} <= pair.keys():
            del self._waiting[number]
            task = self.tasks.create_task(self._join(pair["data"], pair["error"]), name="port-forward")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def cancel(self) -> None:
        for task in self._running:
            task.cancel()

    async def _join(self, data: spdy.Stream, error: spdy.Stream) -> None:
        port = int(data.headers.get("port", "0"))
        try:
            async with _connected(self.pod, port, self.kubelet) as there:
                backward = asyncio.create_task(_forward(data, there), name="port-forward-out")
                try:
                    failure = await _backward(there, data)
                finally:
                    backward.cancel()
                    await asyncio.wait([backward])
            if failure:
                error.send(failure)
        except (KubeletFailed, ConnectionError) as failed:
            name = self.pod["metadata"]["name"]
            error.send(f"error forwarding port {port} to pod {name}: {failed}".encode())
        finally:
            data.close()
            error.close()


async def _forward(data: spdy.Stream, there: ClientWebSocketResponse) -> None:
    while (piece := await data.received.get()) is not None:
        await there.send_bytes(bytes([_DATA]) + piece)


async def _backward(there: ClientWebSocketResponse, data: spdy.Stream) -> bytes:
    """What the pod sends; returns what the kubelet says about a failure."""
    failure = b""
    async for message in there:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        if message.data[0] == _DATA:
            data.send(message.data[1:])
        else:
            failure += message.data[1:]
    return failure


@asynccontextmanager
async def _connected(pod: Json, port: int, kubelet: Kubelet) -> AsyncIterator[ClientWebSocketResponse]:
    """A kubelet's WebSocket to a port; its first frames, which repeat the port, are read already."""
    metadata = pod["metadata"]
    path = f"/portForward/{metadata['namespace']}/{metadata['name']}"
    there = await kubelet.connect(pod, path, [("port", str(port))], (_CHANNELS,))
    try:
        for _ in (_DATA, _ERROR):
            await there.receive_bytes()
        yield there
    except TypeError as error:
        raise ConnectionError("the kubelet closed the connection") from error
    finally:
        await there.close()


async def _numbered(socket: web.WebSocketResponse, ports: list[int], pod: Json, kubelet: Kubelet) -> None:
    """The WebSocket form: one connection for each port, for as long as the client stays."""
    there: dict[int, ClientWebSocketResponse] = {}
    async with asyncio.TaskGroup() as tasks:
        for at, port in enumerate(ports):
            for channel in (2 * at, 2 * at + 1):
                await socket.send_bytes(bytes([channel]) + struct.pack("<H", port))
            settled = asyncio.Event()
            tasks.create_task(_one_port(socket, at, port, pod, kubelet, there, settled), name=f"port-{port}")
            await settled.wait()  # what the client sends meanwhile waits in the socket
        async for message in socket:
            data: Any = message.data
            frame = data.encode() if isinstance(data, str) else data
            if isinstance(frame, bytes) and frame and frame[0] in there:
                await there[frame[0]].send_bytes(bytes([_DATA]) + frame[1:])
        for connection in tuple(there.values()):
            await connection.close()


async def _one_port(
    socket: web.WebSocketResponse,
    at: int,
    port: int,
    pod: Json,
    kubelet: Kubelet,
    there: dict[int, ClientWebSocketResponse],
    settled: asyncio.Event,
) -> None:
    """Carry what the pod sends; `settled` is set when the port is connected, or cannot be."""
    try:
        async with _connected(pod, port, kubelet) as connection:
            there[2 * at] = connection
            settled.set()
            async for message in connection:
                if message.type is WSMsgType.BINARY and message.data:
                    await socket.send_bytes(bytes([2 * at + message.data[0]]) + message.data[1:])
    except (KubeletFailed, ConnectionError) as error:
        if not socket.closed:
            await socket.send_bytes(bytes([2 * at + 1]) + str(error).encode())
    finally:
        settled.set()
        there.pop(2 * at, None)
    if not there and not socket.closed:
        await socket.close()
