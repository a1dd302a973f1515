"""The pages of istiod over xDS: what `istioctl proxy-status` and `x internal-debug` ask on an ADS stream.

Source: Istio, type URLs `istio.io/debug/syncz`, `istio.io/debug/config_dump` (resource name: `pod.namespace`)
and `istio.io/debug` (resource name: a page, perhaps with a query), and what each answers with.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import orjson
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from linnet.control_plane import dumps
from linnet.control_plane.identity import Identity
from linnet.control_plane.pages import NOT_CONNECTED, Answer, Denied, Pages, namespace_of, proxy_id
from linnet.control_plane.proxies import Seat
from linnet.model.resource import Resource
from linnet.xds.messages import Request
from linnet.xds.transport import Caller
from linnet.xds.watches import Watch

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from linnet.envoy.messages import ClientConfig

PAGE = "istio.io/debug"
SYNC = "istio.io/debug/syncz"
CONFIG_DUMP = "istio.io/debug/config_dump"


@dataclass(slots=True)
class Inspection:
    """`linnet.xds.ads.Inspector` over the pages."""

    pages: Pages
    root_namespace: str

    def asked(self, type_url: str) -> bool:
        """Whether this is a question about istiod itself."""
        return type_url in (PAGE, SYNC, CONFIG_DUMP)

    def inspect(self, caller: Caller, identity: Identity | None, request: Request) -> Iterable[Resource]:
        """The answer. Raises GRPCError."""
        match request.type_url, request.subscribe:
            case _ if not self.asked(request.type_url):
                raise GRPCError(Status.INVALID_ARGUMENT, f"{request.type_url} is not served on this stream")
            case type_url, _ if type_url == SYNC:
                namespace = self._namespace("syncz", caller, identity)
                return [_packed(proxy_id(seat), sync_status(seat)) for seat in self.pages.seats(namespace)]
            case type_url, [proxy] if type_url == CONFIG_DUMP:
                seat = self.pages.find(proxy, self._namespace("config_dump", caller, identity))
                if seat is None:
                    # clients that find this text ask the next istiod
                    return [_text(proxy, Answer(NOT_CONNECTED, 404))]
                return [_packed("Configs", part) for part in dumps.messages(seat.connection.stream.line)]
            case type_url, [page] if type_url == PAGE:
                asked = urlsplit(page)
                name = asked.path.removeprefix("/debug/")
                namespace = self._namespace(name, caller, identity)
                return [_text(page, self.pages.answer(name, dict(parse_qsl(asked.query)), namespace))]
            case type_url, names:
                raise GRPCError(
                    Status.INVALID_ARGUMENT, f"{type_url} takes one resource name, not {len(names)}"
                )

    def _namespace(self, page: str, caller: Caller, identity: Identity | None) -> str:
        try:
            return namespace_of(page, caller, identity, self.root_namespace)
        except Denied as error:
            raise GRPCError(Status.PERMISSION_DENIED, str(error)) from error


def sync_status(seat: Seat) -> "ClientConfig":
    """An `envoy.service.status.v3.ClientConfig`: what a proxy was sent, and how it took it."""
    from linnet.envoy.messages import ClientConfig, Node

    node = seat.connection.node
    about = {key: node.metadata.get(key) for key in ("CLUSTER_ID", "ISTIO_VERSION")}
    shown = Node(id=proxy_id(seat))
    shown.metadata.update({"NAMESPACE": seat.claim.namespace, **{k: str(v) for k, v in about.items() if v}})
    watches = seat.connection.stream.watches
    return ClientConfig(node=shown, generic_xds_configs=[_status(watches[url]) for url in sorted(watches)])


def _status(watch: Watch) -> "ClientConfig.GenericXdsConfig":
    from linnet.envoy.messages import ClientConfig, ConfigStatus, Timestamp, UpdateFailureState

    at = Timestamp()
    at.FromMilliseconds(round(watch.sent_at * 1000))
    status = ClientConfig.GenericXdsConfig(type_url=watch.type_url, last_updated=at if watch.sent else None)
    if not watch.sent:
        status.config_status = ConfigStatus.NOT_SENT
    elif watch.error:
        status.config_status = ConfigStatus.ERROR
        status.error_state.CopyFrom(UpdateFailureState(last_update_attempt=at, details=watch.error))
    else:
        status.config_status = ConfigStatus.SYNCED if watch.acked == watch.sent else ConfigStatus.STALE
    return status


def _packed(name: str, message: "Message") -> Resource:
    from linnet.envoy.messages import Any

    packed = Any()
    packed.Pack(message)
    return Resource(name, "", packed.SerializeToString())


def _text(name: str, answer: Answer) -> Resource:
    """An answer as clients read it: its bytes in the place of a message."""
    from linnet.envoy.messages import Any

    content = answer.content
    body = (
        content.encode()
        if isinstance(content, str)
        else orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    )
    return Resource(name, "", Any(type_url=PAGE, value=body).SerializeToString())
