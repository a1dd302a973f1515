"""Requests to the kubelet of a pod's node: logs, exec, attach, port-forward."""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from linnet.local.api.certificates import Pki
from linnet.local.api.cluster import Cluster
from linnet.local.api.dialling import Dialled, plain
from linnet.local.api.options import Dial
from linnet.local.api.refusals import Refused

Json = dict[str, Any]

_PORT = 10_250
_CONNECT = 5.0  # seconds


class KubeletFailed(Exception):
    """The kubelet cannot be reached, or refused; the text is for the user."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Kubelet:
    """A client for the kubelets of all nodes, with the server's own client certificate. `close` it."""

    def __init__(self, cluster: Cluster, dial: Dial | None, pki: Pki) -> None:
        self._cluster = cluster
        self._dial = dial
        self._pki = pki
        self._session: aiohttp.ClientSession | None = None

    async def get(self, pod: Json, path: str, query: Sequence[tuple[str, str]]) -> aiohttp.ClientResponse:
        """The kubelet's answer, its body not read yet.

        Raises: KubeletFailed.
        """
        url = self._url(pod, path).with_query(query)
        try:
            response = await self._open().get(url)
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(url, error) from error
        if response.status >= 400:
            text = await response.text()
            response.release()
            raise KubeletFailed(response.status, text.strip())
        return response

    async def connect(
        self, pod: Json, path: str, query: Sequence[tuple[str, str]], protocols: Sequence[str]
    ) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket to the kubelet.

        Raises: KubeletFailed.
        """
        url = self._url(pod, path).with_query(query)
        try:
            return await self._open().ws_connect(
                url, protocols=protocols, autoping=True, max_msg_size=0, compress=0
            )
        except aiohttp.WSServerHandshakeError as error:
            why = "container not found" if error.status == 404 else f"the kubelet answered {error.status}"
            raise KubeletFailed(error.status, f"unable to upgrade connection: {why}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(url, error) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @staticmethod
    def _failed(url: URL, error: Exception) -> KubeletFailed:
        return KubeletFailed(500, f'Get "{url}": {error}')

    async def pass_on(
        self, node: Json, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """The answer of a node's kubelet to any request; `path` is encoded and has its query.

        Raises: KubeletFailed.
        """
        url = _address(node).join(URL(path, encoded=True))
        try:
            return await self._open().request(method, url, headers=headers, data=body)
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(url, error) from error

    def _url(self, pod: Json, path: str) -> URL:
        """The address of the pod's node. Raises: Refused."""
        name = pod["spec"].get("nodeName", "")
        node = self._cluster.find("nodes", "", name) if name else None
        if node is None:
            where = f"pod {pod['metadata']['name']} does not have a host assigned"
            raise Refused(400, "BadRequest", where)
        return _address(node).with_path(path)

    def _open(self) -> aiohttp.ClientSession:
        """The session, made at the first use."""
        if self._session is None:
            tls = ssl.create_default_context(cafile=str(self._pki.path("ca.crt")))
            tls.load_cert_chain(
                self._pki.path("apiserver-kubelet-client.crt"),
                self._pki.path("apiserver-kubelet-client.key"),
            )
            connector = Dialled(self._dial or plain, tls)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session


def _address(node: Json) -> URL:
    """Where the kubelet of a node listens."""
    status = node.get("status") or {}
    addresses = {one["type"]: one["address"] for one in status.get("addresses") or ()}
    host = addresses.get("InternalIP") or addresses.get("Hostname") or node["metadata"]["name"]
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or _PORT
    return URL.build(scheme="https", host=host, port=port, path="/")
