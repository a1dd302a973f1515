"""The kubelet's HTTPS server: logs, exec, attach, port-forward, for the API server only.

    GET       /healthz  /pods  /containerLogs/NS/POD/CONTAINER
    WebSocket /exec/NS/POD/CONTAINER  /attach/NS/POD/CONTAINER     v5.channel.k8s.io, v4
    WebSocket /portForward/NS/POD?port=N                          v4.channel.k8s.io

Source: Kubernetes, kubelet server.
"""

import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from aiohttp import web

from linnet.local.node import logs, streams
from linnet.local.node.clock import Now, parse
from linnet.local.node.container_states import Terminated, Waiting
from linnet.local.node.life import Life
from linnet.local.node.logs import LogQuery
from linnet.local.node.pods import PodWorker
from linnet.local.node.spec import Object
from linnet.local.node.status import NO_EPHEMERAL

PORT = 10250
API_SERVER = "kube-apiserver-kubelet-client"  # the common name of the only client

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class Pods(Protocol):
    """What the server asks of the kubelet."""

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of a pod."""
        ...

    def pods(self) -> list[Object]:
        """The pods of the node."""
        ...


class Server:
    """Answers the API server about the pods of one kubelet."""

    def __init__(self, kubelet: Pods, now: Now) -> None:
        self._kubelet, self._now = kubelet, now

    def application(self, *, authorise: bool = True) -> web.Application:
        """The routes. Without `authorise` anybody may ask: for a server whose socket nobody else reaches."""
        app = web.Application(middlewares=[_only_api_server] if authorise else [])
        container = "/{namespace}/{pod}/{container}"
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/pods", self._pods)
        app.router.add_get("/containerLogs" + container, self._logs)
        app.router.add_get("/exec" + container, self._exec)
        app.router.add_get("/attach" + container, self._attach)
        app.router.add_get("/portForward/{namespace}/{pod}", self._port_forward)
        return app

    async def _pods(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._kubelet.pods() or None}
        )

    # -- logs ---------------------------------------------------------------

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        worker, life = self._find(request)
        query, previous = self._log_query(request)
        path, current = _log_file(worker, life, previous=previous)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        try:
            async with aclosing(logs.read(path, query, current)) as pieces:
                await response.prepare(request)
                async for piece in pieces:
                    await response.write(piece)
        except FileNotFoundError:
            raise _bad_request(f"unable to retrieve container logs of {life.container.name}") from None
        await response.write_eof()
        return response

    def _log_query(self, request: web.Request) -> tuple[LogQuery, bool]:
        """What is asked for, and whether of the previous instance."""
        asked = request.query
        try:
            since = asked.get("sinceTime", "")
            if asked.get("sinceSeconds"):
                since = _nano(self._now() - timedelta(seconds=int(asked["sinceSeconds"])))
            elif since:
                since = _nano(parse(since))
            query = LogQuery(
                follow=_flag(asked.get("follow")),
                tail=int(asked["tailLines"]) if asked.get("tailLines") else None,
                since=since,
                timestamps=_flag(asked.get("timestamps")),
                limit=int(asked["limitBytes"]) if asked.get("limitBytes") else None,
                stream=asked.get("stream", "").lower().replace("all", ""),
            )
        except ValueError as error:
            raise _bad_request(f"unable to decode query: {error}") from error
        return query, _flag(asked.get("previous"))

    # -- streams ------------------------------------------------------------

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        life = self._find(request)[1]
        argv = tuple(request.query.getall("command", []))
        if not argv:
            raise _bad_request("you must specify at least 1 command for the container")
        if life.process is None:
            return await streams.refuse(request, f'container not found ("{life.container.name}")')
        return await streams.execute(request, life, argv)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        life = self._find(request)[1]
        if life.process is None:
            return await streams.refuse(request, f'container not found ("{life.container.name}")')
        return await streams.attach(request, life)

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        worker = self._worker(request)
        ports = request.query.getall("port", []) or request.query.getall("ports", [])
        if not ports or not all(port.isdecimal() for port in ports):
            raise _bad_request('query parameter "port" is required')
        if not worker.sandboxed:
            raise _not_found(f"pod not found ({worker.pod.label})")
        return await streams.port_forward(request, worker.sandbox, tuple(int(port) for port in ports))

    # -- who is meant -------------------------------------------------------

    def _worker(self, request: web.Request) -> PodWorker:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        worker = self._kubelet.find(namespace, name)
        if worker is None:
            raise _not_found(f'pod "{name}" not found')
        return worker

    def _find(self, request: web.Request) -> tuple[PodWorker, Life]:
        worker, name = self._worker(request), request.match_info["container"]
        life = worker.lives.get(name)
        if life is None and any(one.name == name for one in worker.pod.spec.ephemeral_containers):
            raise _bad_request(NO_EPHEMERAL)
        if life is None:
            raise _not_found(f'container "{name}" not found in pod "{worker.pod.metadata.name}"')
        return worker, life


def _log_file(worker: PodWorker, life: Life, *, previous: bool) -> tuple[str, logs.Log | None]:
    """The file to read, and the log behind it if the instance may still write.

    Source: Kubernetes, kubelet, which instance `kubectl logs` shows, and its refusals.
    """
    state, name, pod = life.state, life.container.name, worker.pod.metadata.name
    if previous:
        # while a container waits for its next start, its last end is the previous one
        instance = state.restarts if isinstance(state.state, Waiting) else state.restarts - 1
        if state.last is None or instance < 0:
            raise _bad_request(f'previous terminated container "{name}" in pod "{pod}" not found')
        return worker.log_path(life.container, instance), None
    if isinstance(state.state, Waiting) and state.last is None:
        reason = state.state.reason
        failing = reason in _PULL_FAILURES
        what = (
            "waiting to start: trying and failing to pull image" if failing else f"waiting to start: {reason}"
        )
        raise _bad_request(f'container "{name}" in pod "{pod}" is {what}')
    return worker.log_path(life.container, state.restarts), None if _ended(life) else life.log


_PULL_FAILURES = ("ErrImagePull", "ImagePullBackOff")


def _ended(life: Life) -> bool:
    return isinstance(life.state.state, Terminated | Waiting)


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


@web.middleware
async def _only_api_server(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody in but the API server, known by its client certificate."""
    certificate: dict[str, Any] = (
        request.transport.get_extra_info("peercert") if request.transport else None
    ) or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    if API_SERVER not in names:
        raise web.HTTPForbidden(text=f"the kubelet answers only {API_SERVER}")
    return await handler(request)


def tls_context(certificate: str, key: str, client_ca: str) -> ssl.SSLContext:
    """TLS that demands a client certificate of the cluster's CA; the arguments are files."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def serving(
    app: web.Application, listener: socket.socket, tls: ssl.SSLContext | None
) -> AsyncGenerator[None, None]:
    """Serve on a listening socket inside the block."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()


def _flag(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")


def _nano(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z"


def _bad_request(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=text)


def _not_found(text: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=text)
