"""What translation gives and xDS sends: named, versioned, serialised Envoy resources."""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

_PREFIX = "type.googleapis.com/envoy."
CLUSTER = _PREFIX + "config.cluster.v3.Cluster"
ENDPOINTS = _PREFIX + "config.endpoint.v3.ClusterLoadAssignment"
LISTENER = _PREFIX + "config.listener.v3.Listener"
ROUTES = _PREFIX + "config.route.v3.RouteConfiguration"
SECRET = _PREFIX + "extensions.transport_sockets.tls.v3.Secret"


class Resource(Struct, frozen=True, weakref=True):
    """One Envoy resource. `version` is a hash of `body`; `body` is a serialised `google.protobuf.Any`.

    An unchanged resource is the same object in successive offers.
    """

    name: str
    version: str
    body: bytes


class Offer(Struct, frozen=True, eq=False):
    """What proxies with one view shall hold: type URL -> name -> resource. Compared by identity."""

    resources: Mapping[str, Mapping[str, Resource]]

    def of(self, type_url: str) -> Mapping[str, Resource]:
        """Resources of one type by name; empty for a type that this proxy does not get."""
        return self.resources.get(type_url, _EMPTY)


_EMPTY: Mapping[str, Resource] = MappingProxyType({})
