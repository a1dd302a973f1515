"""The agent's host in a container of its own Envoy: this process's files and network, Envoy as its child."""

import asyncio
import socket

LOCAL_SOURCE = "127.0.0.6"  # the redirect leaves connections from this address alone


class Child:
    """Envoy as a child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait(self) -> int:
        """Its exit code; 128 + signal number when a signal ended it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            return


class Beside:
    """A `linnet.proxy.host.Host` for one pod, seen from inside its container."""

    def here(self, path: str) -> str:
        """The same path: agent and Envoy share the container."""
        return path

    async def resolve(self, name: str) -> tuple[str, ...]:
        """Addresses by the pod's resolver. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    async def dial(self, address: str, port: int) -> socket.socket:
        """A connection as Envoy's user, which the redirect leaves alone. Raises OSError."""
        return await _connected(address, port, source="", timeout=5.0)

    async def connect(self, port: int, *, host: str = "127.0.0.1", timeout: float = 1.0) -> socket.socket:
        """A connection within the pod. Raises OSError."""
        source = "" if host.startswith("127.") or host == "localhost" else LOCAL_SOURCE
        return await _connected(host, port, source=source, timeout=timeout)

    def listen(self, port: int, *, host: str = "0.0.0.0") -> socket.socket:
        """A listening socket. Raises OSError."""
        sock = socket.create_server((host, port), backlog=128)
        sock.setblocking(False)
        return sock

    async def launch(self, argv: tuple[str, ...]) -> Child:
        """Envoy as a child with this process's output. Raises FileNotFoundError, PermissionError."""
        return Child(await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL))


async def _connected(host: str, port: int, *, source: str, timeout: float) -> socket.socket:
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if source:
            sock.bind((source, 0))
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, (host, port))
    except TimeoutError as error:
        sock.close()
        raise ConnectionError(f"{host}:{port} did not answer within {timeout} s") from error
    except BaseException:
        sock.close()
        raise
    return sock
