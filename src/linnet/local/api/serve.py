"""The API server: read `serve` and you have read the program."""

import asyncio
import gc
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from linnet.local.api import bootstrap, registry
from linnet.local.api.addresses import Addresses
from linnet.local.api.admission import Admission
from linnet.local.api.authn import Authenticator
from linnet.local.api.certificates import Pki, subjects
from linnet.local.api.cluster import Cluster
from linnet.local.api.definitions import definitions
from linnet.local.api.deleting import Deleter
from linnet.local.api.escalation import Guard
from linnet.local.api.http import Front
from linnet.local.api.kubelet import Kubelet
from linnet.local.api.openapi import OpenApi
from linnet.local.api.options import VERSION, Options
from linnet.local.api.pages import Pages
from linnet.local.api.proxying import Proxy
from linnet.local.api.quotastatus import QuotaStatus
from linnet.local.api.rbac import Authorizer
from linnet.local.api.reading import Reader
from linnet.local.api.reviewing import Reviewer
from linnet.local.api.schemas import Schemas
from linnet.local.api.store import Store
from linnet.local.api.streaming import Ending
from linnet.local.api.streams import Streams
from linnet.local.api.subresources import Subresources
from linnet.local.api.tokens import Signer
from linnet.local.api.verbs import Verbs
from linnet.local.api.writing import Writer

Json = dict[str, Any]

_KEEP_ALIVE = 120.0
_STOP = 1.0  # seconds that running requests get to end
# Lists make thousands of objects without cycles: to look for garbage among them costs more than to make them.
_COLLECT = (50_000, 20, 100)
_ADMISSION = "admissionregistration.k8s.io"


async def serve(options: Options) -> None:
    """Serve until cancelled; the process is the server's.

    Raises: StoreFailed when the disk refuses.
    """
    gc.set_threshold(*_COLLECT)
    async with running(options) as store:
        await store.failed.wait()
        store.check()


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Store]:
    """A server that answers while the block runs."""
    pki = Pki(options.state / "pki")
    network = ipaddress.IPv4Network(options.service_network)
    pki.ensure(subjects(options.node, options.node_address, str(network[1])))
    async with AsyncExitStack() as stack:
        store = Store(options.state / "cluster.db", synchronous=options.synchronous)
        store.start()
        stack.callback(store.close)
        parts = _parts(options, store, pki, network)
        stack.push_async_callback(parts.admission.close)
        stack.push_async_callback(parts.kubelet.close)
        stack.push_async_callback(parts.front.proxy.close)
        quotas = QuotaStatus(parts.cluster, parts.writer)
        quotas.start()
        stack.push_async_callback(quotas.close)
        await bootstrap.objects(parts.writer, parts.cluster, pki, network)
        bootstrap.kubeconfigs(options, pki)
        await _listen(parts, options, _tls(pki), stack)
        options.ready()
        yield store


@dataclass(slots=True)
class _Parts:
    cluster: Cluster
    writer: Writer
    admission: Admission
    kubelet: Kubelet
    front: Front
    ending: Ending


def _parts(options: Options, store: Store, pki: Pki, network: ipaddress.IPv4Network) -> _Parts:
    """Wire the server."""
    cluster = Cluster(store, registry.builtin(), Schemas(definitions()))
    signer = Signer(pki.key("sa.key"))
    authorizer = Authorizer(cluster)
    authenticator = Authenticator(cluster, signer, authorizer)

    def configurations(plural: str) -> Iterable[Json]:
        return cluster.objects(f"{_ADMISSION}/{plural}")

    admission = Admission(
        configurations=configurations,
        lookup=cluster.lookup,
        dial=options.dial,
        versions=cluster.registry.custom_versions,
    )
    reviewer = Reviewer(admission)
    writer = Writer(cluster, reviewer, Addresses(store, network), Guard(cluster, authorizer))
    deleter = Deleter(cluster, writer, reviewer)
    subresources = Subresources(cluster, writer, deleter, signer)
    ending = Ending()
    cluster.registry.on_change(ending.wake)
    kubelet = Kubelet(cluster, options.dial, pki)
    verbs = Verbs(cluster, Reader(cluster), writer, deleter, subresources, authenticator, authorizer, ending)
    openapi = OpenApi(cluster.registry, cluster.schemas, VERSION)
    pages = Pages(cluster.registry, openapi, signer, bootstrap.version())
    proxy = Proxy(cluster, kubelet, options.dial)
    front = Front(authenticator, authorizer, pages, verbs, Streams(cluster, kubelet), proxy)
    return _Parts(cluster, writer, admission, kubelet, front, ending)


async def _listen(parts: _Parts, options: Options, tls: ssl.SSLContext, stack: AsyncExitStack) -> None:
    runner = web.ServerRunner(
        parts.front.server(), access_log=None, keepalive_timeout=_KEEP_ALIVE, shutdown_timeout=_STOP
    )
    await runner.setup()
    stack.push_async_callback(_stop, runner, parts.ending)
    for listening in options.sockets:
        await web.SockSite(runner, listening, ssl_context=tls).start()


async def _stop(runner: web.ServerRunner, ending: Ending) -> None:
    ending.end()
    async with asyncio.timeout(_STOP * 5):
        await runner.cleanup()


def _tls(pki: Pki) -> ssl.SSLContext:
    """Certificates are optional: tokens are as good, and nobody may read the version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path("apiserver.crt"), pki.path("apiserver.key"))
    context.load_verify_locations(pki.path("ca.crt"))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context
