"""A Kubernetes API client: requests in, plain objects out; one for istiod, CLI and local cluster."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from msgspec import Struct
from multidict import CIMultiDict

from linnet.kube.config import Config
from linnet.kube.errors import ApiError, from_status
from linnet.kube.kinds import Kind
from linnet.kube.streams import PortForward

Object = dict[str, Any]
PAGE = 500  # objects per list request, as kubectl


class Patch(StrEnum):
    """Kinds of patch by their media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


PATIENCE = 60.0  # seconds: more than a chain of slow webhooks takes


class Listing(Struct, frozen=True):
    """The answer to a list: all pages of it."""

    items: list[Object]
    resource_version: str


class Client:
    """A connection to one API server; an async context manager. Failures are `OSError`, mostly `ApiError`.

    A whole answer has `patience` seconds to come, else it is a TimeoutError; watches and logs have no end.
    """

    def __init__(
        self,
        config: Config,
        *,
        user_agent: str = "linnet",
        manager: str = "linnet",
        patience: float = PATIENCE,
    ) -> None:
        self.config = config
        self._patience = patience
        self.manager = manager
        self.writes = 0  # requests that changed something: not dry runs, not leases, not questions
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.config.tls or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            headers=self._headers,
            proxy=self.config.proxy_url or None,
            auto_decompress=True,
            read_bufsize=2**20,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    # -- one object ---------------------------------------------------------

    async def get(self, kind: Kind, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        """One object. Raises NotFound."""
        return await self._json("GET", kind.path(namespace, name, subresource))

    async def create(
        self, kind: Kind, obj: Object, *, namespace: str = "", subresource: str = "", dry_run: bool = False
    ) -> Object:
        """The object as stored. With `subresource`, `metadata.name` names its parent (eviction, binding)."""
        where = namespace or obj.get("metadata", {}).get("namespace", "")
        name = obj["metadata"]["name"] if subresource else ""
        params = self._write(dry_run=dry_run)
        return await self._json("POST", kind.path(where, name, subresource), body=obj, params=params)

    async def replace(
        self, kind: Kind, obj: Object, *, subresource: str = "", dry_run: bool = False
    ) -> Object:
        """The object as stored. Raises Conflict when its resourceVersion is not the newest."""
        meta = obj["metadata"]
        path = kind.path(meta.get("namespace", ""), meta["name"], subresource)
        return await self._json("PUT", path, body=obj, params=self._write(dry_run=dry_run))

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: object,
        *,
        type: Patch = Patch.MERGE,  # noqa: A002 (as in the API)
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """The object after the patch."""
        return await self._json(
            "PATCH",
            kind.path(namespace, name, subresource),
            body=patch,
            params=self._write(dry_run=dry_run),
            headers={"Content-Type": type.value},
        )

    async def apply(
        self,
        kind: Kind,
        obj: Object,
        *,
        manager: str = "",
        force: bool = True,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply. Raises Conflict when another manager owns a field and `force` is off."""
        meta = obj["metadata"]
        params = self._write(dry_run=dry_run) | {"fieldManager": manager or self.manager}
        if force:
            params["force"] = "true"
        return await self._json(
            "PATCH",
            kind.path(meta.get("namespace", ""), meta["name"], subresource),
            body=obj,
            params=params,
            headers={"Content-Type": Patch.APPLY.value},
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "Background",
        grace_seconds: int | None = None,
        uid: str = "",
        dry_run: bool = False,
    ) -> Object:
        """The deleted object or a Status. `uid`: only that incarnation, else Conflict. Raises NotFound."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        if dry_run:
            options["dryRun"] = ["All"]
        return await self._json("DELETE", kind.path(namespace, name), body=options)

    # -- many objects -------------------------------------------------------

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> Listing:
        """All objects of a kind in a namespace (or in all); selectors in kubectl's syntax."""
        params = {"limit": str(PAGE)} | _selectors(labels, fields)
        items: list[Object] = []
        while True:
            page = await self._json("GET", kind.path(namespace), params=params)
            for item in page.get("items") or ():
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.name)
                items.append(item)
            meta = page.get("metadata", {})
            if not meta.get("continue"):
                return Listing(items, meta.get("resourceVersion", ""))
            params["continue"] = meta["continue"]

    async def watch(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        since: str,
        labels: str = "",
        fields: str = "",
        seconds: int = 0,
    ) -> AsyncGenerator[Object, None]:
        """Raw watch events `{type, object}` with bookmarks, until the server ends the watch. Raises Gone."""
        params = {"watch": "true", "resourceVersion": since, "allowWatchBookmarks": "true"}
        params |= _selectors(labels, fields)
        if seconds:
            params["timeoutSeconds"] = str(seconds)
        async with await self._open("GET", kind.path(namespace), params=params) as response:
            rest = b""
            while True:
                try:
                    chunk = await response.content.readany()
                except aiohttp.ClientError as error:
                    raise ConnectionError(f"{self.config.server}: the watch broke: {error}") from error
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event: Object = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise from_status(int(event["object"].get("code", 500)), event["object"])
                    yield event

    # -- anything else ------------------------------------------------------

    async def raw(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of the answer to any request. Raises ApiError for codes from 400, TimeoutError."""
        limit = asyncio.timeout(self._patience)
        try:
            async with (
                limit,
                await self._open(method, path, body=body, headers=headers, params=params) as response,
            ):
                return await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{self.config.server}: the answer broke off: {error}") from error
        except TimeoutError as error:
            if not limit.expired():
                raise
            late = f"no answer to {method} {path} within {self._patience:g} s"
            raise TimeoutError(f"{self.config.server}: {late}") from error

    async def stream(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The body of the answer, piece by piece as it arrives (logs)."""
        async with await self._open(method, path, params=params) as response:
            try:
                async for chunk in response.content.iter_any():
                    yield chunk
            except aiohttp.ClientError as error:
                raise ConnectionError(f"{self.config.server}: the answer broke off: {error}") from error

    async def connect(self, namespace: str, pod: str, port: int) -> PortForward:
        """A byte stream to a port of a pod, through the API server (pods/portforward). Raises OSError."""
        session = self._opened()
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        try:
            socket = await session.ws_connect(
                self.config.server + path,
                params={"ports": str(port)},
                protocols=("v4.channel.k8s.io",),
                headers=self._identity(),
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            lacks = " (it takes the rights to get and create pods/portforward)" if error.status == 403 else ""
            raise ApiError(
                error.status,
                "",
                f"cannot forward port {port} of pod {namespace}/{pod}: {error.message}{lacks}",
            ) from error
        except aiohttp.ClientError as error:
            raise ConnectionError(f"cannot forward port {port} of pod {namespace}/{pod}: {error}") from error
        return PortForward(socket)

    # -- the request layer --------------------------------------------------

    def _write(self, *, dry_run: bool) -> dict[str, str]:
        params = {"fieldManager": self.manager}
        if dry_run:
            params["dryRun"] = "All"
        return params

    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None, "enter the client first: async with Client(config) as client"
        return self._session

    def _identity(self) -> CIMultiDict[str]:
        """The headers that say who asks, and as whom."""
        token, as_whom = self.config.bearer(), self.config.impersonate
        headers = CIMultiDict(as_whom.headers() if as_whom else ())
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def _json(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Object:
        answer: Object = orjson.loads(await self.raw(method, path, body=body, headers=headers, params=params))
        return answer

    async def _open(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        session = self._opened()
        sent = self._identity()
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        try:
            response = await session.request(
                method,
                self.config.server + path,
                data=data,
                headers=sent,
                params=params,
                server_hostname=self.config.tls_server_name or None,
            )
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{self.config.server}: {error}") from error
        if response.status >= 400:
            content = await response.read()
            status: Object = {}
            with suppress(orjson.JSONDecodeError):
                decoded = orjson.loads(content)
                status = decoded if isinstance(decoded, dict) else {}
            if not status.get("message"):
                status["message"] = content.decode(errors="replace").strip() or response.reason or ""
            raise from_status(response.status, status)
        if method != "GET" and not _harmless(path, body, params or {}):
            self.writes += 1
        return response


def _harmless(path: str, body: object, params: Mapping[str, str]) -> bool:
    """Whether a request that is no GET leaves every object but leases as it was."""
    asked = "dryRun" in params or (isinstance(body, dict) and "dryRun" in body)
    return asked or "/leases" in path or path.endswith(("reviews", "/token"))


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
