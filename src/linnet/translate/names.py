"""Names that Istio gives to what Envoy holds; telemetry, `istioctl` and running proxies depend on them."""

BLACK_HOLE = "BlackHoleCluster"
PASSTHROUGH = "PassthroughCluster"
INBOUND_PASSTHROUGH = "InboundPassthroughCluster"
VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"
SDS_CLUSTER = "sds-grpc"  # the agent's socket, a static cluster of the bootstrap
OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
RESERVED_PORTS = frozenset({15000, 15001, 15006, 15020, 15021, 15090})
INBOUND_SOURCE = "127.0.0.6"  # what redirects leave alone
ALPN_FILTER = "stock.alpn"


def outbound(port: int, hostname: str, subset: str = "") -> str:
    """``outbound|<port>|<subset>|<hostname>``."""
    return f"outbound|{port}|{subset}|{hostname}"


def inbound(port: int) -> str:
    """``inbound|<target port>||``."""
    return f"inbound|{port}||"


def sni(port: int, hostname: str, subset: str = "") -> str:
    """``outbound_.<port>_.<subset>_.<hostname>``: the server name of mesh mTLS."""
    return f"outbound_.{port}_.{subset}_.{hostname}"


def listener(address: str, port: int) -> str:
    """``<address>_<port>``."""
    return f"{address}_{port}"
