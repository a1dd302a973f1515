"""The ports of istiod and what each of them serves."""

from contextlib import AsyncExitStack

from aiohttp import web

from linnet.ca.authority import Authority
from linnet.ca.server import CertificateService
from linnet.control_plane import grpc, http, scopes
from linnet.control_plane.callers import Callers
from linnet.control_plane.debug import Debug
from linnet.control_plane.gauges import add_authority_gauges, add_injection_gauge
from linnet.control_plane.inspection import Inspection
from linnet.control_plane.istiod import Istiod, about
from linnet.control_plane.metrics import CONTENT_TYPE
from linnet.control_plane.pages import Pages
from linnet.control_plane.plane import Plane
from linnet.control_plane.proxies import Proxies
from linnet.control_plane.tables import tables
from linnet.control_plane.webhooks import Injection, Webhooks
from linnet.xds.ads import Ads


async def open_ports(
    istiod: Istiod,
    servers: AsyncExitStack,
    proxies: Proxies,
    callers: Callers,
    authority: Authority,
    plane: Plane,
    injection: Injection,
) -> None:
    """Serve until `servers` is closed; `istiod.ports` then has the numbers."""
    settings, ports = istiod.settings, istiod.ports

    async def ready(_request: web.BaseRequest) -> web.StreamResponse:
        # a configuration that was refused later leaves the one before in force: that is no reason to leave
        if istiod.ready and injection.current is not None:
            return http.text(f"ready; injection as before: {injection.error}" if injection.error else "ready")
        return http.text(injection.error or "not ready", status=503)

    async def metrics(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=istiod.metrics.exposition().encode(), headers={"Content-Type": CONTENT_TYPE})

    async def version(_request: web.BaseRequest) -> web.StreamResponse:
        return http.text(f"{settings.version}-unknown-Clean")

    pages = Pages(proxies, tables(plane, proxies, lambda: injection.current))
    debug = Debug(pages, callers.proven, settings.namespace).routes()
    hooks = Webhooks(injection, istiod.validate, istiod.metrics)
    certificates = CertificateService(authority, callers.of_request)
    add_injection_gauge(istiod, injection)
    add_authority_gauges(istiod, authority, certificates)
    services = [
        Ads(proxies, about(settings), Inspection(pages, settings.namespace)),
        certificates,
    ]
    enter = servers.enter_async_context
    secure, webhook = istiod.contexts.grpc, istiod.contexts.webhooks
    ports.secure_grpc = await enter(grpc.serving(services, settings.secure_grpc, tls=secure))
    ports.grpc = await enter(grpc.serving(services, settings.grpc))
    ports.https = await enter(http.serving({**hooks.routes(), "/ready": ready}, settings.https, tls=webhook))
    ports.monitoring = await enter(
        http.serving({"/metrics": metrics, "/version": version, **debug}, settings.monitoring)
    )
    ports.controls = await enter(http.serving(scopes.routes(), settings.controls))
    ports.http = await enter(http.serving({"/ready": ready, **debug}, settings.http))
