"""What an echo server says: the same report over HTTP/1.1 and HTTP/2."""

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from linnet.local.workloads.http1 import Connection, Failed, Target

_PASSED_ON = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "b3",
)


class Answers:
    """Who answers: name, version, pod; with `upstream` a request makes one there too."""

    def __init__(
        self, name: str, version: str, pod: str, *, upstream: str = "", timeout: float = 15.0
    ) -> None:
        self.name, self.version, self.pod = name, version, pod
        self.ending = asyncio.Event()
        self.requests = 0
        self._timeout = timeout
        self._upstream = Target(upstream) if upstream else None
        self._kept: list[Connection] = []

    async def answer(
        self, method: str, target: str, headers: Mapping[str, str], received: int
    ) -> tuple[int, bytes]:
        """Status and content for a request with so many bytes of body."""
        path, _, raw_query = target.partition("?")
        query = dict(parse_qsl(raw_query))
        if path == "/healthz":
            return (503, b"ending\n") if self.ending.is_set() else (200, b"ok\n")
        self.requests += 1
        try:
            delay, status, size = (float(query.get(name, 0)) for name in ("delay", "status", "size"))
        except ValueError as error:
            return 400, f"delay, status and size are numbers: {error}\n".encode()
        await asyncio.sleep(delay)
        report: dict[str, object] = {
            "service": self.name,
            "version": self.version,
            "pod": self.pod,
            "method": method,
            "path": path,
            "received": received,
            "identity": client_identity(headers.get("x-forwarded-client-cert", "")),
            "headers": dict(headers),
        }
        code = int(status) or 200
        if self._upstream:
            code = await self._ask_upstream(self._upstream, headers, report, code)
        content = json.dumps(report).encode() + b"\n"
        return code, content + b"." * max(0, int(size) - len(content))

    async def _ask_upstream(
        self, target: Target, headers: Mapping[str, str], report: dict[str, object], status: int
    ) -> int:
        connection = self._kept.pop() if self._kept else Connection(target)
        passed = {name: headers[name] for name in _PASSED_ON if name in headers}
        try:
            answer = await connection.request(headers=passed, timeout=self._timeout)
        except Failed as error:
            report["upstream"] = {"url": target.url, "error": f"{error.kind}: {error.detail}"}
            return 502
        self._kept.append(connection)
        said: object = answer.body.decode(errors="replace")
        try:
            said = json.loads(answer.body)
        except ValueError:
            pass  # not one of us: its words as they are
        report["upstream"] = {"url": target.url, "status": answer.status, "answer": said}
        return status if answer.status < 400 else answer.status


def client_identity(header: str) -> str:
    """The caller's SPIFFE ID in an `x-forwarded-client-cert` header: the URI of the last element."""
    for part in header.rpartition(",")[2].split(";"):
        name, _, value = part.partition("=")
        if name.strip().upper() == "URI":
            return value.strip().strip('"')
    return ""
