"""The kubelet's HTTPS server: who may ask, and what it answers."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from linnet.local.api.certificates import Pki, Subject
from linnet.local.node.server import API_SERVER, Server, serving, tls_context

pytestmark = pytest.mark.unit


class NoPods:
    """A kubelet without pods."""

    def find(self, namespace: str, name: str) -> None:
        return None

    def pods(self) -> list[dict[str, object]]:
        return []


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.ensure(
        (
            Subject("serving", "system:node:node-1", hosts=("127.0.0.1",)),
            Subject("api", API_SERVER),
            Subject("node", "system:node:node-1"),
        )
    )
    return made


@asynccontextmanager
async def served(pki: Pki) -> AsyncIterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    paths = [str(pki.path(name)) for name in ("serving.crt", "serving.key", "ca.crt")]
    app = Server(NoPods(), lambda: datetime.now(UTC)).application()
    async with serving(app, listener, tls_context(*paths)):
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def identity(pki: Pki, stem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.path("ca.crt")))
    if stem:
        context.load_cert_chain(pki.path(f"{stem}.crt"), pki.path(f"{stem}.key"))
    return context


async def get(url: str, tls: ssl.SSLContext) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, ssl=tls) as answer:
        return answer.status, await answer.text()


async def test_only_the_api_server_is_answered(pki: Pki) -> None:
    """Another certificate of the cluster's CA is forbidden; none does not even get a connection."""
    async with served(pki) as url:
        assert await get(f"{url}/healthz", identity(pki, "api")) == (200, "ok")
        code, words = await get(f"{url}/healthz", identity(pki, "node"))
        assert code == 403
        assert API_SERVER in words
        with pytest.raises(aiohttp.ClientError):
            await get(f"{url}/healthz", identity(pki, ""))


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/pods", 200, '{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": null}'),
        ("/containerLogs/ns/p/c", 404, 'pod "p" not found'),
        ("/exec/ns/p/c?command=x", 404, 'pod "p" not found'),
        ("/portForward/ns/p?port=1", 404, 'pod "p" not found'),
        ("/nothing", 404, "404: Not Found"),
    ],
)
async def test_pods_that_do_not_exist_are_named(pki: Pki, path: str, code: int, words: str) -> None:
    """Never an internal error."""
    async with served(pki) as url:
        assert await get(url + path, identity(pki, "api")) == (code, words)
