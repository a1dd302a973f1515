"""What istioctl asks istiod over xDS, asked by another implementation of gRPC."""

import asyncio
import json
from contextlib import asynccontextmanager

import grpc
import pytest
from tests.control_plane.test_serve import WEB, secure, stream, token

from linnet.envoy.messages import (
    ClientConfig,
    ClustersConfigDump,
    ConfigStatus,
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    ListenersConfigDump,
)
from linnet.kube.kinds import SERVICE_ACCOUNT
from linnet.model.resource import CLUSTER, LISTENER
from linnet.xds.ads import SERVICE

pytestmark = pytest.mark.wired

NOBODY = {
    "id": "sidecar~10.0.0.9~test-1.istio-system~istio-system.svc.cluster.local",
    "metadata": {"GENERATOR": "event", "NAMESPACE": "istio-system", "SERVICE_ACCOUNT": "default"},
}
PROXY = {"id": "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", "metadata": WEB}


async def system_token(client) -> str:
    """The token that istioctl asks for: of the account `default` of the root namespace."""
    account = {"metadata": {"name": "default", "namespace": "istio-system"}}
    try:
        await client.create(SERVICE_ACCOUNT, account)
    except OSError:
        pass  # it is there
    request = {"kind": "TokenRequest", "metadata": {"name": "default"}, "spec": {"audiences": ["istio-ca"]}}
    answer = await client.create(SERVICE_ACCOUNT, request, namespace="istio-system", subresource="token")
    return answer["status"]["token"]


@asynccontextmanager
async def proxy(channel: grpc.aio.Channel, bearer: str):
    """A connected proxy that took its clusters and refuses its listeners."""
    call = stream(channel, bearer)
    await call.write(DeltaDiscoveryRequest(node=PROXY, type_url=CLUSTER))
    first = await call.read()
    await call.write(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=first.nonce))
    await call.write(DeltaDiscoveryRequest(type_url=LISTENER))
    second = await call.read()
    assert (first.type_url, second.type_url) == (CLUSTER, LISTENER)
    try:
        yield call, second.nonce
    finally:
        call.cancel()


def inspection(channel: grpc.aio.Channel, bearer: str = ""):
    """A state-of-the-world stream, as istioctl opens it."""
    return channel.stream_stream(
        SERVICE + "StreamAggregatedResources",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=DiscoveryResponse.FromString,
    )(metadata=(("authorization", f"Bearer {bearer}"),) if bearer else ())


async def asked(channel, bearer: str, type_url: str, *names: str, node=NOBODY) -> DiscoveryResponse:
    """The answer to one question. Raises AioRpcError."""
    call = inspection(channel, bearer)
    try:
        question = DiscoveryRequest(
            node=node, type_url=type_url, resource_names=names, response_nonce="2026-11-26 21:05:19 +0000 UTC"
        )  # istioctl makes a nonce up
        await call.write(question)
        async with asyncio.timeout(20):
            answer = await call.read()
            if answer is grpc.aio.EOF:
                raise AssertionError(f"refused with {await call.code()}: {await call.details()}")
            return answer
    finally:
        call.cancel()


async def refusal(channel, bearer: str, type_url: str, *names: str, node=NOBODY) -> grpc.StatusCode:
    """The status of a question that is refused."""
    call = inspection(channel, bearer)
    try:
        await call.write(DiscoveryRequest(node=node, type_url=type_url, resource_names=names))
        async with asyncio.timeout(20):
            return await call.code()
    finally:
        call.cancel()


async def test_the_state_of_all_proxies(client, start) -> None:
    """One message per proxy: what it was sent, how it took it; who asks is not in the list."""
    async with start() as istiod, await secure(client, istiod) as channel:
        bearer = await system_token(client)
        empty = await asked(channel, bearer, "istio.io/debug/syncz")
        assert (empty.type_url, list(empty.resources)) == ("istio.io/debug/syncz", [])
        about = json.loads(empty.control_plane.identifier)
        assert (about["Component"], about["ID"], about["Info"]["version"]) == (
            "istiod",
            "istiod-canary",
            "1.2.3",
        )
        async with proxy(channel, await token(client, "web")) as (call, nonce):
            sent = await _states(channel, bearer)
            assert sent == {CLUSTER: ConfigStatus.SYNCED, LISTENER: ConfigStatus.STALE}
            refused = DeltaDiscoveryRequest(type_url=LISTENER, response_nonce=nonce)
            refused.error_detail.message = "no such filter"
            await call.write(refused)
            # what was refused comes again in pieces; once one did, the refusal was taken in
            await call.read()
            assert (await _states(channel, bearer))[LISTENER] == ConfigStatus.ERROR
            config = await _config(channel, bearer)
            assert config.node.id == "web-1.shop"
            assert config.node.metadata["NAMESPACE"] == "shop"
            (listeners,) = (c for c in config.generic_xds_configs if c.type_url == LISTENER)
            assert listeners.error_state.details == "no such filter"
            assert listeners.last_updated.seconds > 1_600_000_000


async def _config(channel, bearer: str) -> ClientConfig:
    answer = await asked(channel, bearer, "istio.io/debug/syncz")
    (packed,) = answer.resources
    config = ClientConfig()
    assert packed.Unpack(config)
    return config


async def _states(channel, bearer: str) -> dict[str, int]:
    config = await _config(channel, bearer)
    return {held.type_url: held.config_status for held in config.generic_xds_configs}


async def test_what_one_proxy_is_offered(client, start) -> None:
    """Sections of Envoy's config dump, one message each; a proxy of another istiod is said to be."""
    async with start() as istiod, await secure(client, istiod) as channel:
        bearer = await system_token(client)
        unknown = await asked(channel, bearer, "istio.io/debug/config_dump", "web-1.shop")
        assert b"not connected to this Pilot instance" in unknown.resources[0].value
        async with proxy(channel, await token(client, "web")):
            answer = await asked(channel, bearer, "istio.io/debug/config_dump", "web-1.shop")
        kinds = [resource.type_url.rpartition(".")[2] for resource in answer.resources]
        assert kinds == [
            "BootstrapConfigDump",
            "ClustersConfigDump",
            "ListenersConfigDump",
            "RoutesConfigDump",
            "SecretsConfigDump",
        ]
        clusters, listeners = ClustersConfigDump(), ListenersConfigDump()
        assert answer.resources[1].Unpack(clusters)
        assert answer.resources[2].Unpack(listeners)
        held = [entry.cluster.value for entry in clusters.dynamic_active_clusters]
        assert any(b"PassthroughCluster" in value for value in held)
        assert "virtualOutbound" in {entry.name for entry in listeners.dynamic_listeners}


async def test_pages_by_name(client, start) -> None:
    """`istio.io/debug` gives what the same path gives over HTTP, errors included."""
    async with start() as istiod, await secure(client, istiod) as channel:
        bearer = await system_token(client)

        async def page(name: str) -> bytes:
            answer = await asked(channel, bearer, "istio.io/debug", name)
            (resource,) = answer.resources
            return resource.value

        assert json.loads(await page("syncz")) == []
        assert "config_dump" in json.loads(await page("list"))
        assert json.loads(await page("mesh"))["trust_domain"] == "cluster.local"
        assert await page("config_dump") == b"You must provide a proxyID in the query string"
        assert b"not connected" in await page("config_dump?proxyID=web-1.shop")
        assert await page("nonsense") == b"404 page not found"


async def test_a_stream_of_questions(client, start) -> None:
    """Each question is answered once, in both dialects; acknowledgements are not questions."""
    async with start() as istiod, await secure(client, istiod) as channel:
        bearer = await system_token(client)
        call = inspection(channel, bearer)
        first = DiscoveryRequest(node=NOBODY, type_url="istio.io/debug", resource_names=["list"])
        await call.write(first)
        answer = await call.read()
        await call.write(DiscoveryRequest(type_url="istio.io/debug", response_nonce=answer.nonce))
        await call.write(DiscoveryRequest(type_url="istio.io/debug/syncz"))
        second = await call.read()
        assert second.type_url == "istio.io/debug/syncz"
        assert second.nonce != answer.nonce
        call.cancel()
        delta = stream(channel, bearer)
        await delta.write(
            DeltaDiscoveryRequest(node=NOBODY, type_url="istio.io/debug", resource_names_subscribe=["list"])
        )
        third: DeltaDiscoveryResponse = await delta.read()
        assert third.resources[0].name == "list"
        assert json.loads(third.resources[0].resource.value) == json.loads(answer.resources[0].value)
        delta.cancel()


async def test_who_may_ask(client, start) -> None:
    """Without proof nothing; workloads see their own namespace and no page about the mesh."""
    shop = {**NOBODY, "id": "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"}
    async with start() as istiod, await secure(client, istiod) as channel:
        web = await token(client, "web")
        async with proxy(channel, web):
            own = await asked(channel, web, "istio.io/debug/syncz", node=shop)
            assert len(own.resources) == 1
        status = await refusal(channel, web, "istio.io/debug", "configz", node=shop)
        assert status is grpc.StatusCode.PERMISSION_DENIED
        system = await system_token(client)
        status = await refusal(channel, system, "istio.io/debug/config_dump")
        assert status is grpc.StatusCode.INVALID_ARGUMENT
    async with (
        start("plain") as istiod,
        grpc.aio.insecure_channel(f"127.0.0.1:{istiod.ports.grpc}") as channel,
    ):
        answer = await asked(channel, "", "istio.io/debug", "list")
        assert answer.resources
