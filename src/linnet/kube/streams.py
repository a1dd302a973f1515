"""Port-forward over the WebSocket protocol `v4.channel.k8s.io`, as a pair of read and write.

Channel 0 carries data, channel 1 the server's error text; the first message of each is the port (two bytes).
Source: Kubernetes, kubelet port-forward over WebSocket.
"""

import aiohttp


class PortForward:
    """A byte stream to a port of a pod."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._greeted: set[int] = set()

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        await self._socket.send_bytes(b"\0" + data)

    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises ConnectionError with the server's words."""
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return b""
            channel, data = message.data[0], message.data[1:]
            if channel not in self._greeted:
                self._greeted.add(channel)
                data = data[2:]
            if channel == 1 and data:
                raise ConnectionError(data.decode(errors="replace").strip())
            if channel == 0 and data:
                return bytes(data)

    async def close(self) -> None:
        """End the stream."""
        await self._socket.close()
