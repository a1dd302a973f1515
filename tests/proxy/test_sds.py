"""SDS on a unix socket, asked by grpcio: both variants, what is pushed, and what is not sent twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from linnet.envoy.messages import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Secret,
)
from linnet.proxy.certificates import Identity, back_off, renewal_delay
from linnet.proxy.sds import SERVICE, TYPE_URL, SecretServer, serving

pytestmark = pytest.mark.wired
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def identity(number: int, roots: str = "roots") -> Identity:
    return Identity(f"chain {number}", f"key {number}", roots, NOW, NOW + timedelta(hours=24))


@pytest.fixture
async def secrets(tmp_path) -> AsyncIterator[tuple[SecretServer, str]]:
    """A server whose socket has a name longer than the kernel takes, and a short way to it."""
    server = SecretServer()
    directory = tmp_path / ("d" * 120)
    async with serving(server, str(directory / "socket")):
        (tmp_path / "s").symlink_to(directory)
        yield server, f"unix:{tmp_path}/s/socket"


class Client:
    """A stream of one variant."""

    def __init__(self, channel: grpc.aio.Channel, method: str, answer: type) -> None:
        self.call = channel.stream_stream(
            f"{SERVICE}/{method}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=answer.FromString,
        )()

    async def say(self, message: object) -> None:
        await self.call.write(message)

    async def hear(self, timeout: float = 5.0):
        async with asyncio.timeout(timeout):
            return await self.call.read()


async def test_state_of_the_world(secrets):
    """A secret that comes into being later is sent then, an ACK is not answered, a rotation is pushed."""
    server, target = secrets
    async with grpc.aio.insecure_channel(target) as channel:
        client = Client(channel, "StreamSecrets", DiscoveryResponse)
        await client.say(DiscoveryRequest(type_url=TYPE_URL, resource_names=["default"]))
        await asyncio.sleep(0.1)
        server.publish(identity(1))
        first = await client.hear()
        secret = Secret.FromString(first.resources[0].value)
        assert secret.tls_certificate.private_key.inline_bytes == b"key 1"
        ack = DiscoveryRequest(
            type_url=TYPE_URL,
            resource_names=["default"],
            version_info=first.version_info,
            response_nonce=first.nonce,
        )
        await client.say(ack)
        server.publish(identity(2))
        second = await client.hear()
        renewed = Secret.FromString(second.resources[0].value).tls_certificate
        assert renewed.certificate_chain.inline_bytes == b"chain 2"
        assert second.nonce != first.nonce
        assert server.pushed == 2


async def test_delta(secrets):
    """Subscriptions add up and end; roots that did not change are not sent again."""
    server, target = secrets
    server.publish(identity(1))
    async with grpc.aio.insecure_channel(target) as channel:
        client = Client(channel, "DeltaSecrets", DeltaDiscoveryResponse)
        await client.say(
            DeltaDiscoveryRequest(type_url=TYPE_URL, resource_names_subscribe=["default", "ROOTCA", "other"])
        )
        assert [resource.name for resource in (await client.hear()).resources] == ["ROOTCA", "default"]
        server.publish(identity(2))
        assert [resource.name for resource in (await client.hear()).resources] == ["default"]
        server.publish(identity(2, "new roots"))
        assert [resource.name for resource in (await client.hear()).resources] == ["ROOTCA"]
        await client.say(DeltaDiscoveryRequest(type_url=TYPE_URL, resource_names_unsubscribe=["ROOTCA"]))
        await asyncio.sleep(0.1)
        server.publish(identity(3, "newer roots"))
        assert [resource.name for resource in (await client.hear()).resources] == ["default"]


@pytest.mark.unit
def test_renewal_is_at_half_of_the_lifetime():
    """Twelve of twenty-four hours, give or take; never at once, however late it is."""
    assert renewal_delay(identity(1), NOW, 0.0) == 12 * 3600
    assert renewal_delay(identity(1), NOW + timedelta(hours=6), 0.01) == pytest.approx(6.24 * 3600)
    assert renewal_delay(identity(1), NOW + timedelta(days=9), 0.0) == 1.0


@pytest.mark.unit
def test_attempts_are_soon_at_first_and_never_rare():
    """0.1 s, doubling, up to five seconds."""
    assert [back_off(n) for n in (1, 2, 3, 50)] == [0.1, 0.2, 0.4, 5.0]
