"""exec and attach: channels in WebSocket messages, or one SPDY stream each, joined to the kubelet.

    channel 0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 terminal sizes, 255 close of a channel (v5)

Source: Kubernetes, `k8s.io/apimachinery/pkg/util/remotecommand`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from linnet.local.api import spdy
from linnet.local.api.refusals import Refused
from linnet.local.api.upgrade import upgraded

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
_SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _STATUS, _SIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_TYPES = {"stdin": _STDIN, "stdout": _STDOUT, "stderr": _STDERR, "error": _STATUS, "resize": _SIZE}
_STREAMS_WAIT = 30.0  # seconds that a client has to open its streams

Connect = Callable[[], Awaitable[ClientWebSocketResponse]]


async def serve(
    request: web.BaseRequest, options: Sequence[tuple[str, str]], connect: Connect
) -> web.StreamResponse:
    """Join the client to what `connect` opens at the kubelet.

    Raises: Refused, KubeletFailed.
    """
    upgrade = request.headers.get("Upgrade", "").lower()
    if upgrade == "websocket":
        return await _over_websocket(request, connect)
    if upgrade.startswith("spdy/"):
        return await _over_spdy(request, {name for name, _ in options}, connect)
    raise Refused(400, "BadRequest", "Upgrade request required")


async def _over_websocket(request: web.BaseRequest, connect: Connect) -> web.StreamResponse:
    there = await connect()
    here = web.WebSocketResponse(protocols=(V5, V4), autoping=True, max_msg_size=0, compress=False)
    try:
        await here.prepare(request)
        reading = asyncio.create_task(_to_kubelet(here, there), name="exec-input")
        try:
            async for message in there:
                if message.type is WSMsgType.BINARY and message.data:
                    await here.send_bytes(message.data)
        except ConnectionError:
            pass  # the client has gone; the kubelet's side ends below
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        await here.close()
    finally:
        await there.close()
    return here


async def _to_kubelet(here: web.WebSocketResponse, there: ClientWebSocketResponse) -> None:
    """Input of the client; the end of its connection ends the kubelet's."""
    try:
        async for message in here:
            data: Any = message.data
            # Some clients send text.
            frame = data.encode() if isinstance(data, str) else data
            if isinstance(frame, bytes) and frame:
                await there.send_bytes(frame)
    except ConnectionError:
        pass
    await there.close()


async def _over_spdy(request: web.BaseRequest, options: set[str], connect: Connect) -> web.StreamResponse:
    """One stream for each channel."""
    protocol = _spdy_protocol(request)
    wanted = {"error"} | (options & {"stdin", "stdout"})
    if "stderr" in options and "tty" not in options:
        wanted.add("stderr")
    there = await connect()
    streams: dict[str, spdy.Stream] = {}
    complete = asyncio.Event()

    def opened(stream: spdy.Stream) -> None:
        streams[stream.headers.get("streamtype", "")] = stream
        if wanted <= streams.keys():
            complete.set()

    try:
        async with upgraded(request, opened, protocol) as connection:
            async with asyncio.timeout(_STREAMS_WAIT):
                await complete.wait()
            await _spdy_conversation(connection, streams, there)
            for stream in streams.values():
                stream.close()
    except TimeoutError as error:
        raise Refused(400, "BadRequest", "the streams were not opened in time") from error
    finally:
        await there.close()
    return web.Response()


def _spdy_protocol(request: web.BaseRequest) -> str:
    offered = [
        part.strip()
        for header in request.headers.getall("X-Stream-Protocol-Version", ())
        for part in header.split(",")
    ]
    protocol = next((one for one in _SPDY_PROTOCOLS if one in offered), "")
    if not protocol:
        raise Refused(403, "Forbidden", f"unable to upgrade: unable to negotiate protocol: {offered}")
    return protocol


async def _spdy_conversation(
    connection: spdy.Connection, streams: dict[str, spdy.Stream], there: ClientWebSocketResponse
) -> None:
    """Input and output, until the kubelet's side ends; the end of the client's connection ends that."""
    async with asyncio.TaskGroup() as tasks:
        inputs = [
            tasks.create_task(_spdy_input(streams[name], _TYPES[name], there), name=f"exec-{name}")
            for name in ("stdin", "resize")
            if name in streams
        ]
        gone = tasks.create_task(_close_with(connection, there), name="exec-gone")
        async for message in there:
            if message.type is WSMsgType.BINARY and message.data:
                _spdy_output(streams, message.data)
        for task in (*inputs, gone):
            task.cancel()


async def _close_with(connection: spdy.Connection, there: ClientWebSocketResponse) -> None:
    await connection.ended.wait()
    await there.close()


async def _spdy_input(stream: spdy.Stream, channel: int, there: ClientWebSocketResponse) -> None:
    while (data := await stream.received.get()) is not None:
        await there.send_bytes(bytes([channel]) + data)
    if channel == _STDIN and not there.closed:
        await there.send_bytes(bytes([_CLOSE, _STDIN]))


def _spdy_output(streams: dict[str, spdy.Stream], frame: bytes) -> None:
    name = {_STDOUT: "stdout", _STDERR: "stderr", _STATUS: "error"}.get(frame[0], "")
    stream = streams.get(name)
    if stream is not None:
        stream.send(frame[1:], last=frame[0] == _STATUS)
