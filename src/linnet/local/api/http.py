"""Requests over HTTP: authenticate, authorize, find the resource, call the verb, answer as accepted."""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web

from linnet.local.api import negotiation, paths, refusals
from linnet.local.api.authn import Authenticator, refused
from linnet.local.api.calls import Call
from linnet.local.api.discovery import Document
from linnet.local.api.pages import Pages
from linnet.local.api.paths import Target
from linnet.local.api.proxying import Proxy
from linnet.local.api.rbac import Attributes, Authorizer
from linnet.local.api.refusals import PageNotFound, Refused
from linnet.local.api.registry import Resource
from linnet.local.api.streams import Streams
from linnet.local.api.users import User
from linnet.local.api.verbs import Verbs

Json = dict[str, Any]

_LARGEST_BODY = 3 << 20  # bytes, as Kubernetes
_STREAMS = frozenset({"log", "exec", "attach", "portforward"})
_PUBLIC = frozenset({"/version", "/healthz", "/livez", "/readyz"})
_INDENTED = frozenset({"/", "/version"})  # as Kubernetes shows them
_UNQUOTED = re.compile(r'["\\]')


@dataclass(slots=True)
class Front:
    """The handler of all requests."""

    authenticator: Authenticator
    authorizer: Authorizer
    pages: Pages
    verbs: Verbs
    streams: Streams
    proxy: Proxy
    _headers: dict[str, str] = field(default_factory=lambda: {"Cache-Control": "no-cache, private"})

    def server(self) -> web.Server:
        """An aiohttp server of this handler."""
        loop = asyncio.get_running_loop()

        def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            return web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY
            )

        return web.Server(self.handle, request_factory=make)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        warnings: list[str] = []
        try:
            return await self._answer(request, warnings)
        except Refused as error:
            return self._status(request, error, warnings)
        except PageNotFound:
            return web.Response(status=404, text="404 page not found\n")
        except web.HTTPRequestEntityTooLarge:
            limit = f"limit is {_LARGEST_BODY}"
            too_large = Refused(413, "RequestEntityTooLarge", f"Request entity too large: {limit}")
            return self._status(request, too_large, warnings)

    async def _answer(self, request: web.BaseRequest, warnings: list[str]) -> web.StreamResponse:
        user = self.authenticator.user(request.headers, _certificate(request))
        path = request.path.rstrip("/") or "/"
        target = paths.target(request.method, path, request.query)
        self._authorize(user, target)
        if not target.for_resource:
            return await self._page(request, path)
        resource = self._resource(target)
        if target.subresource == "proxy":
            return await self.proxy.serve(request, resource, target)
        if target.subresource in _STREAMS:
            return await self.streams.serve(request, resource, target)
        warn = _warner(resource, target, warnings)
        call = Call(
            resource=resource,
            target=target,
            user=user,
            query=request.query,
            accept=negotiation.accepted(request.headers.get("Accept", "")),
            agent=request.headers.get("User-Agent", "").partition("/")[0] or "unknown",
            content_type=request.content_type if request.can_read_body else "",
            body=await request.read() if request.can_read_body else b"",
            warn=warn,
        )
        if target.verb == "watch":
            return await self._watch(request, call, warnings)
        code, value = await self.verbs.do(call)
        return self._reply(value, code, warnings, yaml=call.accept.yaml)

    def _authorize(self, user: User, target: Target) -> None:
        """Raise Refused 403 unless the user may."""
        if not target.for_resource and target.path in _PUBLIC:
            return
        wanted = Attributes(
            target.verb,
            path=target.path,
            group=target.group,
            version=target.version,
            resource=target.resource,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
        )
        if not self.authorizer.allows(user, wanted):
            raise refused(user, wanted)

    def _resource(self, target: Target) -> Resource:
        """The resource that the path names.

        Raises: PageNotFound for an unknown group, Refused 404 or 405.
        """
        registry = self.verbs.cluster.registry
        if target.group not in registry.groups():
            raise PageNotFound
        resource = registry.find(target.group, target.version, target.resource)
        if resource is None or target.too_long:
            raise refusals.no_such_path()
        if resource.namespaced and not target.namespace and (target.name or target.verb not in _WIDE):
            raise refusals.not_allowed() if target.verb == "create" else refusals.no_such_path()
        if not resource.namespaced and target.namespace and target.resource != "namespaces":
            raise refusals.no_such_path()
        if target.subresource:
            subresource = resource.sub(target.subresource)
            if subresource is None:
                raise refusals.no_such_path()
            if target.verb not in subresource.verbs:
                raise refusals.not_allowed()
        elif target.verb not in resource.verbs or (
            target.verb != "watch" and bool(target.name) != (target.verb in _NAMED)
        ):
            raise refusals.not_allowed()
        return resource

    async def _page(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        found = self.pages.find(path, request.method, request.headers, request.query, request.host)
        if isinstance(found, Document):
            headers = {"ETag": found.etag, "Vary": "Accept", **self._headers}
            if request.headers.get("If-None-Match") == found.etag:
                return web.Response(status=304, headers=headers)
            return web.Response(body=found.body, headers={**headers, "Content-Type": found.content_type})
        if isinstance(found, str):
            return web.Response(text=found, headers=self._headers)
        if path in _INDENTED:
            body = orjson.dumps(found, option=orjson.OPT_INDENT_2)
            return web.Response(body=body, headers={"Content-Type": "application/json", **self._headers})
        return self._reply(found, 200, [])

    async def _watch(self, request: web.BaseRequest, call: Call, warnings: list[str]) -> web.StreamResponse:
        lines = self.verbs.watch(call)
        response = web.StreamResponse(headers={"Content-Type": "application/json", **self._headers})
        for text in warnings:
            response.headers.add("Warning", _warning(text))
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            async for line in lines:
                await response.write(line)
            await response.write_eof()
        except ConnectionError:
            pass  # the client has gone: nobody is left to tell
        finally:
            await lines.aclose()
        return response

    def _status(self, request: web.BaseRequest, error: Refused, warnings: list[str]) -> web.Response:
        wants_yaml = request.headers.get("Accept", "").startswith("application/yaml")
        response = self._reply(error.status(), error.code, warnings, yaml=wants_yaml)
        response.headers.update(error.headers)
        return response

    def _reply(self, value: Any, code: int, warnings: list[str], *, yaml: bool = False) -> web.Response:
        if yaml:
            body, content_type = negotiation.yaml_text(orjson.loads(orjson.dumps(value))), "application/yaml"
        else:
            body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
            content_type = "application/json"
        headers = {"Content-Type": content_type, "Audit-Id": _audit_id(), **self._headers}
        response = web.Response(body=body, status=code, headers=headers)
        for text in dict.fromkeys(warnings):
            response.headers.add("Warning", _warning(text))
        return response


_NAMED = frozenset({"get", "update", "patch", "delete"})
_WIDE = frozenset({"list", "watch", "deletecollection", "create"})
# What a POST without a namespace may make, although the resource has namespaces: nothing.

_ENDPOINTS = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_COMPONENTS = "v1 ComponentStatus is deprecated in v1.19+"


def _warner(resource: Resource, target: Target, warnings: list[str]) -> Callable[[str], None]:
    """Collects warnings; begins with what the resource itself deserves."""
    if resource.custom is not None and resource.custom.deprecation:
        warnings.append(resource.custom.deprecation)
    if resource.name == "endpoints" and target.verb != "watch":
        warnings.append(_ENDPOINTS)
    if resource.name == "componentstatuses":
        warnings.append(_COMPONENTS)
    return warnings.append


def _audit_id() -> str:
    """A name for a request; nothing depends on it being hard to guess."""
    return str(UUID(int=random.getrandbits(128), version=4))


def _warning(text: str) -> str:
    quoted = _UNQUOTED.sub(lambda match: "\\" + match[0], text.replace("\n", " "))
    return f'299 - "{quoted}"'


def _certificate(request: web.BaseRequest) -> Mapping[str, Any] | None:
    """The verified certificate of the peer."""
    transport = request.transport
    secure = transport.get_extra_info("ssl_object") if transport else None
    return secure.getpeercert() if secure else None
