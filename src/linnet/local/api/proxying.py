"""The proxy subresources: requests that go on to a node's kubelet, a pod or a Service.

Upgrades (WebSockets through a proxy) are not passed on.
"""

import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web
from msgspec import Struct
from yarl import URL

from linnet.local.api import refusals
from linnet.local.api.cluster import Cluster
from linnet.local.api.dialling import Dialled, plain
from linnet.local.api.kubelet import Kubelet, KubeletFailed
from linnet.local.api.options import Dial
from linnet.local.api.paths import Target
from linnet.local.api.refusals import Refused
from linnet.local.api.registry import Resource

Json = dict[str, Any]

_CONNECT = 5.0  # seconds
# Of one connection only (RFC 9110, 7.6.1), and what belongs to this server alone.
_NOT_PASSED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SLICES = "discovery.k8s.io/endpointslices"


class Place(Struct, frozen=True):
    """What a path names: `[scheme:]name[:port]`."""

    scheme: str
    name: str
    port: str


def place(text: str) -> Place:
    """Read the name in a proxy's path. Raises: Refused 400."""
    match text.split(":"):
        case [name]:
            return Place("", name, "")
        case [name, port]:
            return Place("", name, port)
        case ["http" | "https" as scheme, name, port]:
            return Place(scheme, name, port)
    raise refusals.bad_request(f"invalid proxy request {text!r}")


class Proxy:
    """Passes requests on. `close` it."""

    def __init__(self, cluster: Cluster, kubelet: Kubelet, dial: Dial | None) -> None:
        self._cluster = cluster
        self._kubelet = kubelet
        self._dial = dial
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def serve(self, request: web.BaseRequest, resource: Resource, target: Target) -> web.StreamResponse:
        """Answer with what the place answers.

        Raises: Refused.
        """
        wanted = place(target.name)
        found = self._cluster.find(resource.plural, target.namespace, wanted.name)
        if found is None:
            raise refusals.not_found(resource, wanted.name)
        path = _rest(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED}
        body = await request.read()
        try:
            if resource.plural == "nodes":
                answer = await self._kubelet.pass_on(found, request.method, path, headers, body)
            else:
                url = self._url(resource, found, wanted).join(URL(path, encoded=True))
                answer = await self._open().request(
                    request.method, url, headers=headers, data=body, allow_redirects=False
                )
        except (KubeletFailed, aiohttp.ClientError, OSError) as error:
            raise Refused(503, "ServiceUnavailable", f"error trying to reach service: {error}") from error
        return await _passed_back(request, answer)

    def _url(self, resource: Resource, found: Json, wanted: Place) -> URL:
        if resource.plural == "pods":
            host, port = _of_pod(found, wanted.port)
        else:
            host, port = self._of_service(found, wanted.port)
        return URL.build(scheme=wanted.scheme or "http", host=host, port=port, path="/")

    def _of_service(self, service: Json, port: str) -> tuple[str, int]:
        """An endpoint that is ready. Raises: Refused 503."""
        metadata = service["metadata"]
        name = metadata["name"]
        ports = service["spec"].get("ports") or ()
        chosen = [one for one in ports if not port or port in (one.get("name"), str(one["port"]))]
        if not chosen or (not port and len(ports) > 1):
            raise _unavailable(f"no service port {port!r} found for service {name!r}".replace("'", '"'))
        for one in self._cluster.objects(_SLICES, metadata["namespace"]):
            if (one["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            number = next(
                (
                    there["port"]
                    for there in one.get("ports") or ()
                    if there.get("name", "") == chosen[0].get("name", "")
                ),
                0,
            )
            for endpoint in one.get("endpoints") or ():
                if number and (endpoint.get("conditions") or {}).get("ready", True):
                    return endpoint["addresses"][0], number
        raise _unavailable(f'no endpoints available for service "{name}"')

    def _open(self) -> aiohttp.ClientSession:
        """The session, made at the first use. Who a pod is, its certificate cannot say here."""
        if self._session is None:
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT)
            connector = Dialled(self._dial or plain, tls)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        return self._session


def _of_pod(pod: Json, port: str) -> tuple[str, int]:
    """A pod's address; without a port the first one that a container declares, or 80."""
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise refusals.bad_request("address not allowed")
    declared = [one for each in pod["spec"]["containers"] for one in each.get("ports") or ()]
    if not port:
        return address, declared[0]["containerPort"] if declared else 80
    named = {one.get("name", ""): one["containerPort"] for one in declared}
    number = named.get(port) or (int(port) if port.isdigit() else 0)
    if not 0 < number < 65_536:
        raise refusals.bad_request(f'invalid port "{port}"')
    return address, number


def _unavailable(message: str) -> Refused:
    return Refused(503, "ServiceUnavailable", message)


def _rest(request: web.BaseRequest) -> str:
    """What follows `/proxy` in the path, encoded, with the query."""
    _, _, rest = request.rel_url.raw_path.partition("/proxy")
    query = request.rel_url.raw_query_string
    return (rest or "/") + (f"?{query}" if query else "")


async def _passed_back(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers: Mapping[str, str] = {
        name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED
    }
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    try:
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        pass  # one of the two has gone
    finally:
        answer.close()
    return response
