"""A small HTTP server for tables of handlers: exact paths, prefixes, and nothing in between."""

import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from linnet.control_plane.settings import Address

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Routes = Mapping[str, Handler]
"""Path -> handler; a path that ends with `/` also stands for everything below it."""


def find(routes: Routes, path: str) -> Handler | None:
    """The handler of a path: the exact one, else the longest prefix that ends with `/`."""
    exact = routes.get(path)
    if exact is not None:
        return exact
    prefixes = (prefix for prefix in routes if prefix.endswith("/") and path.startswith(prefix))
    best = max(prefixes, key=len, default=None)
    return routes[best] if best is not None else None


def clean(path: str) -> str:
    """The path without doubled slashes. Source: `istioctl version` asks for `//version`."""
    return re.sub("/+", "/", path)


@asynccontextmanager
async def serving(
    routes: Routes, address: Address, *, tls: ssl.SSLContext | None = None, grace: float = 1.0
) -> AsyncIterator[int]:
    """Serve the table; gives the port. `grace`: seconds that requests under way get at the end."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        handler = find(routes, clean(request.path))
        if handler is None:
            return text("404 page not found", status=404)
        return await handler(request)

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=grace)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host or None, address.port, ssl_context=tls, reuse_address=True)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def text(content: str, *, status: int = 200) -> web.Response:
    """A plain text answer; ends with a newline."""
    return web.Response(text=content + "\n", status=status)


def json(content: object, request: web.BaseRequest, *, status: int = 200) -> web.Response:
    """A JSON answer, indented if the query has `pretty`."""
    option = orjson.OPT_INDENT_2 if "pretty" in request.query else 0
    body = orjson.dumps(content, option=option | orjson.OPT_NON_STR_KEYS)
    return web.Response(body=body, status=status, content_type="application/json")


async def json_body(
    request: web.BaseRequest, limit: int, *, kinds: Collection[str] = ("application/json",)
) -> Any:
    """The decoded JSON body of a request of one of these content types; empty: it may say none.

    Raises:
        web.HTTPException: 415, 413 or 400, with the reason.
    """
    said = request.content_type if "Content-Type" in request.headers else ""
    if said not in kinds:
        raise web.HTTPUnsupportedMediaType(text=f"expected application/json, not {said or 'nothing'}\n")
    if (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=request.content_length or 0)
    body = await request.content.read(-1) if request.can_read_body else b""
    if not body:
        raise web.HTTPBadRequest(text="the body is empty\n")
    if len(body) > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(body))
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"the body is not valid JSON: {error}\n") from error
