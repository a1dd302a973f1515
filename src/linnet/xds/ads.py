"""The gRPC server of ADS: bytes between proxies and their state machines.

Each stream has one task that writes and one that reads. A proxy that does not read blocks only its own
writer; nothing is queued for it: what to send is asked of the state machine at the moment of sending.

Source: Envoy, `service/discovery/v3/ads.proto`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream as Call
from h2.exceptions import StreamClosedError

from linnet.model.resource import Resource
from linnet.xds import messages, transport, wire
from linnet.xds.messages import Node, Request
from linnet.xds.stream import Dialect, Outcome, Response, Stream
from linnet.xds.transport import Caller

SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
Known = TypeVar("Known")  # what the control plane knows a caller by
Proven = TypeVar("Proven", contravariant=True)
STALLED = 30.0  # seconds without progress in sending after which a proxy is cut off


@dataclass(slots=True, eq=False)
class Connection:
    """A connected proxy: what it says it is, its state machine, and the way to wake its writer."""

    id: str
    node: Node
    caller: Caller
    identity: str
    """The SPIFFE ID under which it is served; empty where the operator allows callers without one."""
    stream: Stream
    connected_at: float
    """Seconds since the epoch."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    failure: GRPCError | None = None

    def end(self, failure: GRPCError | None = None) -> None:
        """Finish the stream, with OK if there is no failure; the proxy comes back at once."""
        self.ended = True
        self.failure = self.failure or failure
        self.wake.set()


class Host(Protocol[Known]):
    """What the server needs of the control plane. What it refuses, it raises as `GRPCError`."""

    async def authenticate(self, caller: Caller) -> Known:
        """Who the caller has proven to be."""

    def connect(self, node: Node, caller: Caller, identity: Known, dialect: Dialect) -> Connection:
        """Admit a proxy under what it claims to be, if that fits its identity."""

    def disconnect(self, connection: Connection) -> None:
        """Forget a proxy."""

    def sent(self, connection: Connection, response: Response, size: int) -> None:
        """A response of so many bytes went out."""

    def answered(self, connection: Connection, request: Request, outcome: Outcome) -> None:
        """A request came in."""


class Inspector(Protocol[Proven]):
    """Answers questions about the control plane itself, on streams of their own."""

    def asked(self, type_url: str) -> bool:
        """Whether this type is such a question."""

    def inspect(self, caller: Caller, identity: Proven, request: Request) -> Iterable[Resource]:
        """The answer. The names of a request are its parameters; what is refused is raised as `GRPCError`."""


Decode = Callable[[bytes], tuple[Node | None, Request]]


@dataclass(slots=True)
class Ads(Generic[Known]):
    """`AggregatedDiscoveryService` in both variants. `identifier` names this control plane to proxies."""

    host: Host[Known]
    identifier: str
    inspector: Inspector[Known] | None = None

    def __mapping__(self) -> Mapping[str, Handler]:
        """The methods, for `grpclib.server.Server`."""
        return {
            SERVICE + "DeltaAggregatedResources": Handler(
                self.delta, Cardinality.STREAM_STREAM, bytes, bytes
            ),
            SERVICE + "StreamAggregatedResources": Handler(
                self.state_of_the_world, Cardinality.STREAM_STREAM, bytes, bytes
            ),
        }

    async def delta(self, call: Call[bytes, bytes]) -> None:
        """Serve a delta stream until either side ends it."""
        await self._serve(call, Dialect.DELTA, messages.decode_delta)

    async def state_of_the_world(self, call: Call[bytes, bytes]) -> None:
        """Serve a state-of-the-world stream until either side ends it."""
        await self._serve(call, Dialect.SOTW, messages.decode_sotw)

    async def _serve(self, call: Call[bytes, bytes], dialect: Dialect, decode: Decode) -> None:
        caller = transport.caller_of(call)
        identity = await self.host.authenticate(caller)
        data = await call.recv_message()
        if data is None:
            return
        node, request = _decoded(decode, data)
        if node is None or not node.id:
            raise GRPCError(Status.INVALID_ARGUMENT, "missing node information")
        if self.inspector is not None and self.inspector.asked(request.type_url):
            about = _Answers(self.inspector, dialect, messages.control_plane(self.identifier))
            await about.serve(call, caller, identity, request, decode)
            return
        connection = self.host.connect(node, caller, identity, dialect)
        try:
            self._take(connection, request)
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(call, connection, decode))
                await self._write(call, connection)
                reader.cancel()
        finally:
            self.host.disconnect(connection)
        if connection.failure is not None:
            raise connection.failure

    async def _read(self, call: Call[bytes, bytes], connection: Connection, decode: Decode) -> None:
        while not connection.ended:
            data = await call.recv_message()
            if data is None:
                connection.end()
                return
            try:
                _, request = _decoded(decode, data)
            except GRPCError as error:
                connection.end(error)
                return
            self._take(connection, request)

    def _take(self, connection: Connection, request: Request) -> None:
        outcome = connection.stream.receive(request)
        connection.wake.set()
        self.host.answered(connection, request, outcome)

    async def _write(self, call: Call[bytes, bytes], connection: Connection) -> None:
        about_us = messages.control_plane(self.identifier)
        try:
            # headers at once: the proxy knows that it is connected even when there is nothing to send yet
            await call.send_initial_metadata()
            while not connection.ended:
                connection.wake.clear()
                while not connection.ended and (response := connection.stream.respond()) is not None:
                    data = encode(connection.stream.dialect, response, about_us)
                    async with asyncio.timeout(STALLED):
                        await call.send_message(data)
                    self.host.sent(connection, response, len(data))
                await connection.wake.wait()
        except TimeoutError:
            connection.end(GRPCError(Status.UNAVAILABLE, f"nothing could be sent for {STALLED:.0f} s"))
            transport.abort(call)
        except StreamClosedError:
            connection.end()  # the proxy reset the stream while we were about to write


@dataclass(slots=True)
class _Answers(Generic[Known]):
    """A stream of questions about us: each is answered once, and who asks is no proxy."""

    inspector: Inspector[Known]
    dialect: Dialect
    about_us: bytes

    async def serve(
        self, call: Call[bytes, bytes], caller: Caller, identity: Known, request: Request, decode: Decode
    ) -> None:
        """Answer until the client ends the stream."""
        sent: set[str] = set()
        while True:
            # a nonce of ours acknowledges; istioctl's first question has one that it made up
            if request.nonce not in sent:
                sent.add(nonce := str(len(sent) + 1))
                found = tuple(self.inspector.inspect(caller, identity, request))
                data = self._encode(request.type_url, nonce, found)
                try:
                    async with asyncio.timeout(STALLED):
                        await call.send_message(data)
                except StreamClosedError:
                    return
                except TimeoutError:
                    transport.abort(call)
                    return
            received = await call.recv_message()
            if received is None:
                return
            _, request = _decoded(decode, received)

    def _encode(self, type_url: str, nonce: str, found: tuple[Resource, ...]) -> bytes:
        if self.dialect is Dialect.DELTA:
            return messages.delta_response(
                messages.delta_body(found),
                type_url=type_url,
                nonce=nonce,
                version="",
                removed=(),
                control_plane=self.about_us,
            )
        return messages.sotw_response(
            messages.sotw_body(found), type_url=type_url, nonce=nonce, version="", control_plane=self.about_us
        )


def encode(dialect: Dialect, response: Response, about_us: bytes) -> bytes:
    """A response as bytes; those of its resources are shared with other streams."""
    if dialect is Dialect.DELTA:
        return messages.delta_response(
            response.step.delta_body(),
            type_url=response.type_url,
            nonce=response.nonce,
            version=response.version,
            removed=response.removed,
            control_plane=about_us,
        )
    return messages.sotw_response(
        response.step.sotw_body(),
        type_url=response.type_url,
        nonce=response.nonce,
        version=response.version,
        control_plane=about_us,
    )


def _decoded(decode: Decode, data: bytes) -> tuple[Node | None, Request]:
    try:
        return decode(data)
    except wire.Malformed as error:
        raise GRPCError(Status.INVALID_ARGUMENT, f"malformed discovery request: {error}") from error
