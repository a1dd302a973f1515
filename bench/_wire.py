"""A wire between a client and an API server that counts what passes, and can end the client at any request.

It speaks plain HTTP to the client and TLS with the administrator's certificate to the server. Requests are
read one by one; answers, watches and upgraded connections pass as they are.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from linnet.kube.config import Config, from_kubeconfig

_CHUNK = 2**16
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ASKING = ("selfsubjectaccessreviews", "/portforward", "/exec", "/attach")  # POSTs that store nothing


class Request(NamedTuple):
    """A request line. `client` is the name of the wire that it came by."""

    client: str
    method: str
    path: str
    query: dict[str, list[str]]

    @property
    def writes(self) -> bool:
        """Whether it changes what is stored."""
        dry = "dryRun" in self.query
        return self.method in _WRITES and not dry and not any(word in self.path for word in _ASKING)

    @property
    def locks(self) -> bool:
        """Whether it is about a Lease."""
        return "/leases" in self.path

    @property
    def watches(self) -> bool:
        """Whether it stays open."""
        return "watch" in self.query


@dataclass
class Wire:
    """One client's wire. `log` gets every request; `after` is called once a write has been answered."""

    config: Config
    name: str = "client"
    log: list[Request] = field(default_factory=list)
    after: Callable[[Request], None] = lambda _: None
    address: tuple[str, int] = ("", 0)

    @property
    def writes(self) -> list[Request]:
        """Those that changed what is stored, the lock not counted."""
        return [request for request in self.log if request.writes and not request.locks]

    def kubeconfig(self, path: Path) -> str:
        """A kubeconfig that leads through the wire."""
        server = f"http://{self.address[0]}:{self.address[1]}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "wire",
            "clusters": [{"name": "wire", "cluster": {"server": server}}],
            "users": [{"name": "wire", "user": {}}],
            "contexts": [{"name": "wire", "context": {"cluster": "wire", "user": "wire"}}],
        }
        path.write_text(json.dumps(content))
        return str(path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the client."""
        parts = urlsplit(self.config.server)
        try:
            upstream, upwriter = await asyncio.open_connection(
                parts.hostname, parts.port, ssl=self.config.tls
            )
        except OSError:
            writer.close()
            return
        waiting: list[Request] = []  # writes that have not been answered
        try:
            async with asyncio.TaskGroup() as tasks:
                back = tasks.create_task(self._answers(upstream, writer, waiting))
                await self._requests(reader, upwriter, waiting)
                back.cancel()
        except* OSError:
            pass
        finally:
            for stream in (writer, upwriter):
                stream.close()
                with contextlib.suppress(OSError):
                    await stream.wait_closed()

    async def _requests(
        self, reader: asyncio.StreamReader, upwriter: asyncio.StreamWriter, waiting: list[Request]
    ) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            method, target, *_ = head.decode("latin-1").split(" ", 2)
            lines = head.decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            parts = urlsplit(target)
            request = Request(self.name, method, parts.path, parse_qs(parts.query))
            self.log.append(request)
            if request.writes:
                waiting.append(request)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            upwriter.write(head + body)
            await upwriter.drain()
            if "upgrade" in headers:
                await _pump(reader, upwriter)
                return

    async def _answers(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: list[Request]
    ) -> None:
        while chunk := await upstream.read(_CHUNK):
            while waiting:  # one request at a time on a connection: this is its answer, and it was stored
                self.after(waiting.pop(0))
            writer.write(chunk)
            await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()


@contextlib.asynccontextmanager
async def wire(
    kubeconfig: str,
    *,
    name: str = "client",
    log: list[Request] | None = None,
    after: Callable[[Request], None] = lambda _: None,
) -> AsyncIterator[Wire]:
    """A wire to the API server of a kubeconfig, on a free port of 127.0.0.1."""
    made = Wire(from_kubeconfig(kubeconfig), name, log if log is not None else [], after)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=2**22)
    made.address = server.sockets[0].getsockname()[:2]
    try:
        yield made
    finally:
        server.close()
