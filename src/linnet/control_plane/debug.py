"""The pages of istiod over HTTP, below `/debug`.

Callers from this pod (port-forwards included) see everything; others must prove who they are, and see what
callers over xDS see (`linnet.control_plane.pages.namespace_of`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from linnet.control_plane import http
from linnet.control_plane.identity import Identity, Unauthenticated
from linnet.control_plane.pages import Denied, Pages, namespace_of
from linnet.xds.transport import Caller


@dataclass(slots=True)
class Debug:
    """The handlers below `/debug`."""

    pages: Pages
    authenticate: Callable[[Caller], Awaitable[Identity | None]]
    root_namespace: str

    def routes(self) -> http.Routes:
        """Path -> handler."""
        rows = "".join(f'<li><a href="/debug/{name}">{name}</a></li>' for name in self.pages.names)

        async def index(_request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(text=f"<h1>istiod</h1><ul>{rows}</ul>\n", content_type="text/html")

        return {"/debug": index, **{f"/debug/{name}": self._handler(name) for name in self.pages.names}}

    def _handler(self, name: str) -> http.Handler:
        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            caller = _caller(request)
            try:
                identity = None if caller.loopback else await self.authenticate(caller)
                namespace = namespace_of(name, caller, identity, self.root_namespace)
            except Unauthenticated as error:
                return http.text(f"unauthenticated: {error}", status=401)
            except OSError as error:
                return http.text(f"cannot verify the caller: {error}", status=503)
            except Denied as error:
                return http.text(str(error), status=403)
            answer = self.pages.answer(name, request.query, namespace)
            if isinstance(answer.content, str):
                return http.text(answer.content, status=answer.status)
            return http.json(answer.content, request, status=answer.status)

        return handle


def _caller(request: web.BaseRequest) -> Caller:
    peer: Any = request.transport.get_extra_info("peername") if request.transport else None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return Caller(
        host=str(peer[0]) if peer else "0.0.0.0",  # unknown: not this machine
        token=token.strip() if scheme.lower() in ("bearer", "istio") else "",
        cluster=request.headers.get("clusterid", ""),
    )
