"""The HTTP/1.1 that the test workloads speak: what breaks is told apart, nothing is repeated in secret."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

HEAD_LIMIT = 64 * 1024
POD_HEADER, VERSION_HEADER = "x-linnet-pod", "x-linnet-version"


class Failed(Exception):
    """A request that got no whole response, or not the one it should.

    `kind`: connect, timeout, broken, malformed, reset, refused, `status N`, `grpc N`; `pod` is who said it.
    """

    def __init__(self, kind: str, detail: str, pod: str = "") -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.pod = pod


class Answer:
    """A whole response; header names are lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """First line and headers. Raises IncompleteReadError, LimitOverrunError."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = text[:-4].split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return start, headers


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str], *, until_end: bool) -> bytes:
    """The body; `until_end`: one without a length lasts until the peer closes. Raises IncompleteReadError."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = bytearray()
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return bytes(body)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read() if until_end else b""


class Target:
    """Where a URL points."""

    __slots__ = ("authority", "host", "path", "port", "url")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r} is not a URL of the form http://HOST[:PORT]/PATH")
        self.url = url
        self.host, self.port = parts.hostname, parts.port or 80
        self.authority = parts.netloc
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class Connection:
    """A client connection that is kept between requests until a side says `connection: close`."""

    __slots__ = ("_reader", "_writer", "pod", "served", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.served = 0  # requests answered on the current TCP connection
        self.pod = ""  # who answered last on it
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def open(self) -> bool:
        """Whether there is a TCP connection that the peer has not closed."""
        return self._reader is not None and not self._reader.at_eof() and not self._broken()

    def _broken(self) -> bool:
        return self._reader is not None and self._reader.exception() is not None

    async def request(
        self,
        *,
        headers: Mapping[str, str],
        timeout: float,
        path: str = "",
        keep: bool = True,
    ) -> Answer:
        """GET the target (or `path` of its host) once, on the kept connection or a new one. Raises Failed."""
        try:
            async with asyncio.timeout(timeout):
                if not self.open:
                    await self._connect()
                answer = await self._exchange(headers, path or self.target.path, keep=keep)
        except TimeoutError as error:
            self.close()
            raise Failed("timeout", f"no response within {timeout:g} s") from error
        except BaseException:
            self.close()
            raise
        self.served += 1
        self.pod = answer.headers.get(POD_HEADER, "")
        if not keep or answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Close the TCP connection; the next request makes another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
        self.served = 0

    async def _connect(self) -> None:
        from linnet.local.workloads.dial import connected  # which knows Failed

        self.close()
        self._reader, self._writer = await connected(self.target.host, self.target.port)

    async def _exchange(self, headers: Mapping[str, str], path: str, *, keep: bool) -> Answer:
        reader, writer = self._reader, self._writer
        assert reader is not None
        assert writer is not None
        lines = [f"GET {path} HTTP/1.1", f"host: {self.target.authority}", "accept: */*"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if not keep:
            lines.append("connection: close")
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            start, received = await read_head(reader)
            status = int(start.split(" ", 2)[1])
            bodiless = status in (204, 304)
            body = b"" if bodiless else await read_body(reader, received, until_end=True)
        except asyncio.IncompleteReadError as error:
            seen = "in the middle of a response" if error.partial else "before the response"
            raise Failed("broken", f"closed {seen}, request {self.served + 1} on its connection") from error
        except OSError as error:
            raise Failed("broken", f"{error}, request {self.served + 1} on its connection") from error
        except (ValueError, IndexError, asyncio.LimitOverrunError) as error:
            raise Failed("malformed", f"not an HTTP response: {error}") from error
        return Answer(status, received, body)
