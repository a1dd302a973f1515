"""What the tests of a module's cluster share: the module has a fixture `mesh` of its own."""

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.e2e.asking import labels_of, stored
from tests.e2e.clusters import Cluster, until

from linnet.kube.client import Client
from linnet.kube.config import from_kubeconfig
from linnet.kube.kinds import NAMESPACE, SERVICE_ACCOUNT


@pytest.fixture
async def client(mesh: Cluster) -> AsyncIterator[Client]:
    """The cluster's administrator."""
    async with Client(from_kubeconfig(mesh.kubeconfig)) as client:
        yield client


@pytest.fixture
async def space(client: Client) -> AsyncIterator[Callable[..., Any]]:
    """Makes namespaces with labels; they go at the end."""
    made: list[str] = []

    async def make(**labels: str) -> str:
        name = f"team-{secrets.token_hex(3)}"
        await client.create(NAMESPACE, {"metadata": {"name": name, "labels": labels_of(labels)}})
        made.append(name)
        await until(lambda: stored(client, SERVICE_ACCOUNT, "default", name))
        return name

    yield make
    for name in made:
        await client.delete(NAMESPACE, name)
