"""A server of its own for each test that asks for one, on a free port of 127.0.0.1."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.local.api.options import Options
from linnet.local.api.serve import running
from linnet.local.api.store import Store


class Server(NamedTuple):
    """A running server: the administrator's client, the directory of its state, and what it stores."""

    client: Client
    state: Path
    store: Store

    async def account(self, namespace: str) -> None:
        """The default service account of a namespace, which the controllers would make."""
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await self.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """A request; the decoded answer. Raises ApiError."""
        import orjson

        raw = orjson.dumps(body) if body is not None else None
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if raw is not None and "Content-Type" not in sent:
            sent["Content-Type"] = "application/json"
        answer = await self.client.raw(method, path, body=raw, headers=sent)
        return orjson.loads(answer)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server without controllers or node."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with running(Options(state=tmp_path, sockets=(listening,))) as store:
            config = from_kubeconfig(str(tmp_path / "admin.kubeconfig"))
            async with Client(config) as client:
                yield Server(client, tmp_path, store)
