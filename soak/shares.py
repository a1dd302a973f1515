"""How a rate is shared out over the protocols, as targets of the load client (pure)."""

from collections.abc import Sequence

from msgspec import Struct

STREAMS = 3  # of each kind that lasts
_LASTING = 4  # kinds


class Door(Struct, frozen=True):
    """Where the server is reached in each protocol: `host[:port]` and path."""

    http: str
    http2: str
    grpc: str
    alone: str  # gRPC once more, under a name of its own: streams there share their connections with no call
    tcp: str


def inside() -> Door:
    """From service to service."""
    return Door("web/", "web:81/", "web:82/", "web.soak:82/", "web:9090")


def outside(address: str) -> Door:
    """Through the gateway, which tells protocols apart by path and port."""
    return Door(f"{address}/", f"{address}/second/", f"{address}/", f"{address}:80/", f"{address}:9090")


def targets(door: Door, rate: float, *, life: float) -> Sequence[str]:
    """Arguments of the load client for `rate` requests a second through a door, all protocols in parallel.

    Four tenths HTTP/1.1 on kept connections, one on new ones, two HTTP/2, two gRPC, and one of messages on
    streams that last: each until its server ends it, or `life` seconds if that is not 0.
    """
    every = STREAMS * _LASTING / (0.1 * rate)
    lasting = f"#streams={STREAMS}&every={every:.2f}&life={life:g}"
    urls = [
        f"http://{door.http}#rate={0.4 * rate:g}&new={0.1 * rate:g}&connections=8",
        f"h2c://{door.http2}#rate={0.2 * rate:g}&connections=2",
        f"grpc://{door.grpc}#rate={0.2 * rate:g}&connections=2",
        f"grpc+bidi://{door.grpc}{lasting}",
        f"grpc+server://{door.alone}{lasting}",
        f"tcp://{door.tcp}{lasting}",
        f"ws://{door.http}{lasting}",
    ]
    return tuple(f"--target={url}" for url in urls)
