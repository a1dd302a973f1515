"""exec, attach and port-forward over WebSocket channels: the first byte of a message is its channel.

    exec, attach   0 stdin   1 stdout   2 stderr   3 error (a Status)   4 resize   255 close a channel (v5)
    port-forward   2n data   2n+1 error of the n-th port; both begin with the port as two bytes

Source: Kubernetes, `v4.channel.k8s.io` and `v5.channel.k8s.io`.
"""

import asyncio
import os
import struct
from contextlib import suppress

import orjson
from aiohttp import WSMsgType, web

from linnet.local.node.commands import start_failure
from linnet.local.node.life import Life
from linnet.local.node.pipes import Pipes
from linnet.local.node.runtime import Process, Sandbox
from linnet.local.node.spec import Object

_STDIN, _OUT, _ERR, _STATUS, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CHANNELS = {"stdout": _OUT, "stderr": _ERR}
_EXEC = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_FORWARD = ("v4.channel.k8s.io",)
_WAITING = 32  # pieces of output that may wait for a slow client
_CHUNK = 2**16
_CONNECT = 5.0  # seconds


class Channel:
    """One WebSocket with channels; output that waits is bounded by pausing its source."""

    def __init__(self, socket: web.WebSocketResponse, wanted: frozenset[str]) -> None:
        self.socket = socket
        self.pipes: Pipes | None = None
        self._wanted = wanted
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def output(self, stream: str, data: bytes) -> None:
        """Send output of a process, if the client wants that stream."""
        if stream in self._wanted:
            self._queue.put_nowait(bytes([_CHANNELS[stream]]) + data)
            if self._queue.qsize() > _WAITING and self.pipes:
                self.pipes.pause()

    def end(self, status: Object) -> None:
        """Send how it ended, after all output."""
        self._queue.put_nowait(bytes([_STATUS]) + orjson.dumps(status))
        self._queue.put_nowait(None)

    async def send(self) -> None:
        """Send what there is until `end`. Raises ConnectionError when the client is gone."""
        while (message := await self._queue.get()) is not None:
            await self.socket.send_bytes(message)
            if self.pipes and self._queue.empty():
                self.pipes.resume()

    async def receive(self, pipes: Pipes) -> None:
        """Take input and terminal sizes until the client closes."""
        async for message in self.socket:
            if message.type is not WSMsgType.BINARY or not message.data:
                continue
            channel, data = message.data[0], message.data[1:]
            if channel == _STDIN:
                with suppress(BrokenPipeError):  # the process stopped reading: its own business
                    await pipes.write(data)
            elif channel == _RESIZE:
                size = orjson.loads(data)
                pipes.resize(int(size.get("Width", 80)), int(size.get("Height", 24)))
            elif channel == _CLOSE and data[:1] == bytes([_STDIN]):
                pipes.close_stdin()


async def execute(request: web.Request, life: Life, argv: tuple[str, ...]) -> web.WebSocketResponse:
    """Run a command in a container, its streams on the channels; it is killed when the client leaves."""
    channel, tty, stdin = await _open(request)
    pipes: Pipes | None = None
    try:
        pipes = channel.pipes = Pipes(channel.output, tty=tty, stdin=stdin, terminals=life.terminals)
        process = await life.exec(argv, pipes.child, tty=tty)
    except OSError as error:
        channel.pipes = None
        if pipes:
            pipes.finish()
        channel.end(_exec_failure(error, argv, life))
        await channel.send()
        await channel.socket.close()
        return channel.socket
    pipes.started()
    try:
        await _converse(channel, pipes, process)
    finally:
        process.signal(9)
        pipes.finish()
    return channel.socket


async def refuse(request: web.Request, words: str) -> web.WebSocketResponse:
    """Tell that a stream cannot be; in the words of an API server that could not upgrade its connection."""
    channel, _, _ = await _open(request)
    message = f"Internal error occurred: unable to upgrade connection: {words}"
    channel.end(
        {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}
    )
    await channel.send()
    await channel.socket.close()
    return channel.socket


async def _converse(channel: Channel, pipes: Pipes, process: Process) -> None:
    """Carry the streams until the process has ended and all is sent, or the client is gone."""
    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(channel.receive(pipes))
        running = tasks.create_task(_finish(channel, pipes, process))
        sending = tasks.create_task(_send_all(channel))
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (receiving, running, sending):
            task.cancel()
    await channel.socket.close()


async def _finish(channel: Channel, pipes: Pipes, process: Process) -> None:
    code = await process.wait()
    channel.pipes = None
    pipes.finish()
    channel.end(exit_status(code))


async def _send_all(channel: Channel) -> None:
    with suppress(ConnectionError):  # the client left
        await channel.send()


async def attach(request: web.Request, life: Life) -> web.WebSocketResponse:
    """The streams of the container's own process, from now on; leaving does not end it."""
    channel, _, stdin = await _open(request)
    pipes, process = life.pipes, life.process
    assert pipes is not None
    assert process is not None
    life.listeners.add(channel.output)
    try:
        async with asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(channel.receive(pipes) if stdin else _drain(channel.socket))
            running = tasks.create_task(_attached(channel, process))
            sending = tasks.create_task(_send_all(channel))
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            for task in (receiving, running, sending):
                task.cancel()
    finally:
        life.listeners.discard(channel.output)
    if stdin and life.container.stdin_once:
        pipes.close_stdin()
    await channel.socket.close()
    return channel.socket


async def _attached(channel: Channel, process: Process) -> None:
    code = await process.wait()
    channel.end(exit_status(code))


async def _drain(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass


async def _open(request: web.Request) -> tuple[Channel, bool, bool]:
    """The channel, whether there is a terminal, whether there is input."""
    asked = {
        key: request.query.get(key, "").lower() in ("true", "1")
        for key in ("stdin", "stdout", "stderr", "tty")
    }
    socket = web.WebSocketResponse(protocols=_EXEC, max_msg_size=0, autoclose=True)
    await socket.prepare(request)
    wanted = frozenset(name for name in ("stdout", "stderr") if asked[name])
    return Channel(socket, wanted), asked["tty"], asked["stdin"]


def exit_status(code: int) -> Object:
    """The Status that tells an exit code. Source: Kubernetes, remote command protocol v4."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _exec_failure(error: OSError, argv: tuple[str, ...], life: Life) -> Object:
    """The Status for a command that could not be started; both layers of a kubelet say what kind it is."""
    engine = f'failed to exec in container: failed to start exec "{life.state.container_id}"'
    why = f"OCI runtime exec failed: exec failed: {start_failure(error, argv)}"
    words = f"Internal error occurred: error executing command in container: {engine}: {why}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {words}",
        "reason": "InternalError",
        "details": {"causes": [{"message": words}]},
        "code": 500,
    }


async def port_forward(
    request: web.Request, sandbox: Sandbox, ports: tuple[int, ...]
) -> web.WebSocketResponse:
    """Connections to ports of a pod, a pair of channels each; over when one side of all is closed."""
    socket = web.WebSocketResponse(protocols=_FORWARD, max_msg_size=0)
    await socket.prepare(request)
    readers: dict[int, asyncio.StreamReader] = {}
    writers: dict[int, asyncio.StreamWriter] = {}
    try:
        for index, port in enumerate(ports):
            connection = await _greet(socket, sandbox, 2 * index, port)
            if connection:
                readers[2 * index], writers[2 * index] = connection
        # what the client has sent meanwhile waits in the socket
        async with asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(_distribute(socket, writers))
            async with asyncio.TaskGroup() as carriers:
                carrying = [
                    carriers.create_task(_carry(socket, channel, reader))
                    for channel, reader in readers.items()
                ]
                receiving.add_done_callback(lambda _: [task.cancel() for task in carrying])
            receiving.cancel()
    finally:
        for writer in writers.values():
            writer.close()
    await socket.close()
    return socket


async def _greet(
    socket: web.WebSocketResponse, sandbox: Sandbox, channel: int, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Open both channels of a port and connect; None: refused, as the client is told."""
    for greeted in (channel, channel + 1):
        await socket.send_bytes(bytes([greeted]) + struct.pack("<H", port))
    try:
        connection = await sandbox.connect(port, host="127.0.0.1", timeout=_CONNECT)
    except OSError as error:
        await socket.send_bytes(bytes([channel + 1]) + _forward_failure(port, error).encode())
        return None
    return await asyncio.open_connection(sock=connection)


async def _carry(socket: web.WebSocketResponse, channel: int, reader: asyncio.StreamReader) -> None:
    """Carry what the pod sends until it closes."""
    with suppress(ConnectionError):  # one side is gone; that is how connections end
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([channel]) + data)


async def _distribute(socket: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter]) -> None:
    """Carry what the client sends to the connection of its channel."""
    async for message in socket:
        writer = writers.get(message.data[0]) if message.type is WSMsgType.BINARY and message.data else None
        if writer is not None:
            writer.write(message.data[1:])
            with suppress(ConnectionError):  # the pod closed; its carrier ends too
                await writer.drain()


def _forward_failure(port: int, error: OSError) -> str:
    why = os.strerror(error.errno) if error.errno else str(error)
    return (
        f"error forwarding port {port} to pod: failed to connect to localhost:{port} inside namespace, "
        f"IPv4: dial tcp4 127.0.0.1:{port}: connect: {why.lower()}"
    )
