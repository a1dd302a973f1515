"""What becomes of a request to an API server that does not answer."""

import asyncio

import pytest

from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.kinds import POD

pytestmark = pytest.mark.unit


async def test_an_answer_that_does_not_come() -> None:
    """A server that accepts connections and is silent ends a request, and is named; a watch waits."""
    taken: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with Client(Config(server=address), patience=0.05) as client:
            with pytest.raises(TimeoutError, match=rf"{address}: no answer to GET \S+/pods/p within 0.05 s"):
                await client.get(POD, "p", "default")
            with pytest.raises(TimeoutError) as ours:
                async with asyncio.timeout(0.2):
                    await anext(client.watch(POD, since="1"))
            assert "no answer" not in str(ours.value), "a watch has no answer to wait for"
    finally:
        for writer in taken:
            writer.close()
        server.close()
