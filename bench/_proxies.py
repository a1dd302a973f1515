"""Proxies that ask one istiod for everything and acknowledge it, until killed.

    python -m bench._proxies PORT COUNT

Their credentials are the PEM texts in $ROOT, $KEY and $CHAIN.
"""

import asyncio
import os
import sys

import grpc

from linnet.envoy.messages import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from linnet.xds.ads import SERVICE

HOST = "istiod.istio-system.svc"


async def proxies(port: int, count: int) -> None:
    """So many at once."""
    secret = grpc.ssl_channel_credentials(
        os.environ["ROOT"].encode(), os.environ["KEY"].encode(), os.environ["CHAIN"].encode()
    )
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(_proxy(f"127.0.0.1:{port}", secret, number))


async def _proxy(address: str, secret: grpc.ChannelCredentials, number: int) -> None:
    options = [
        ("grpc.ssl_target_name_override", HOST),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
    ]
    async with grpc.aio.secure_channel(address, secret, options) as channel:
        call = channel.stream_stream(
            SERVICE + "DeltaAggregatedResources",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=DeltaDiscoveryResponse.FromString,
        )()
        node = Node(id=f"sidecar~10.0.0.1~pod-{number}.bench~bench.svc.cluster.local")
        await call.write(DeltaDiscoveryRequest(node=node, type_url=CLUSTER))
        asked: set[str] = set()
        async for response in call:
            await call.write(DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce))
            if response.type_url not in asked:
                asked.add(response.type_url)
                for request in _next(response):
                    await call.write(request)


def _next(response: DeltaDiscoveryResponse) -> list[DeltaDiscoveryRequest]:
    """What Envoy asks for once it has the first answer of a type."""
    if response.type_url == CLUSTER:
        names = [resource.name for resource in response.resources]
        wanted = [name for name in names if name.startswith("outbound|")]
        return [
            DeltaDiscoveryRequest(type_url=ENDPOINTS, resource_names_subscribe=wanted),
            DeltaDiscoveryRequest(type_url=LISTENER),
        ]
    if response.type_url == LISTENER:
        return [DeltaDiscoveryRequest(type_url=ROUTES, resource_names_subscribe=["80"])]
    return []


if __name__ == "__main__":
    asyncio.run(proxies(int(sys.argv[1]), int(sys.argv[2])))
