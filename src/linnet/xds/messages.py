"""The four messages of ADS: what proxies say, decoded; what we answer, spliced from serialised resources.

Source: Envoy, `service/discovery/v3/discovery.proto` and `config/core/v3/base.proto` (field numbers).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from linnet.model.resource import Resource
from linnet.xds import wire


class Node(Struct, frozen=True):
    """What a proxy says about itself in its first message. None of it is proven."""

    id: str = ""
    cluster: str = ""
    metadata: Mapping[str, Any] = {}
    version: str = ""
    """Envoy's version, `1.40.0`; empty if it did not say."""
    locality: tuple[str, str, str] = ("", "", "")
    """Region, zone, sub-zone."""


class Request(Struct, frozen=True):
    """One message of a proxy about one type, the same for both variants of the protocol."""

    type_url: str
    nonce: str = ""
    """The response that it acknowledges or rejects; empty if none."""
    error: str | None = None
    """Why the proxy rejected that response; None if it accepted it."""
    subscribe: tuple[str, ...] = ()
    """Names that it wants from now on; for state-of-the-world all names that it wants."""
    unsubscribe: tuple[str, ...] = ()
    held: Mapping[str, str] = {}
    """Name -> version of what it already holds (delta, first request of a type)."""


def decode_delta(data: bytes) -> tuple[Node | None, Request]:
    """A `DeltaDiscoveryRequest`; the node is None where the message has none.

    Raises:
        wire.Malformed: these are not the bytes of such a message.
    """
    node: Node | None = None
    type_url = nonce = ""
    error: str | None = None
    subscribe: list[str] = []
    unsubscribe: list[str] = []
    held: list[bytes] = []
    for number, value in wire.fields(data):
        match number:
            case 1:
                node = _node(wire.message(value))
            case 2:
                type_url = wire.text(value)
            case 3:
                subscribe.append(wire.text(value))
            case 4:
                unsubscribe.append(wire.text(value))
            case 5:
                held.append(wire.message(value))
            case 6:
                nonce = wire.text(value)
            case 7:
                error = _status(wire.message(value))
            case _:
                pass
    return node, Request(type_url, nonce, error, tuple(subscribe), tuple(unsubscribe), wire.string_map(held))


def decode_sotw(data: bytes) -> tuple[Node | None, Request]:
    """A `DiscoveryRequest` (state of the world); the node is None where the message has none.

    Raises:
        wire.Malformed: these are not the bytes of such a message.
    """
    node: Node | None = None
    type_url = nonce = ""
    error: str | None = None
    names: list[str] = []
    for number, value in wire.fields(data):
        match number:
            case 2:
                node = _node(wire.message(value))
            case 3:
                names.append(wire.text(value))
            case 4:
                type_url = wire.text(value)
            case 5:
                nonce = wire.text(value)
            case 6:
                error = _status(wire.message(value))
            case _:
                pass
    return node, Request(type_url, nonce, error, tuple(names))


def control_plane(identifier: str) -> bytes:
    """A `ControlPlane` message."""
    return wire.tagged_text(1, identifier)


def delta_body(resources: Iterable[Resource]) -> bytes:
    """The `resources` of a `DeltaDiscoveryResponse`: what all streams that make one step have in common."""
    return b"".join(
        wire.tagged(2, wire.tagged_text(1, r.version) + wire.tagged(2, r.body) + wire.tagged_text(3, r.name))
        for r in resources
    )


def sotw_body(resources: Iterable[Resource]) -> bytes:
    """The `resources` of a `DiscoveryResponse`."""
    return b"".join(wire.tagged(2, r.body) for r in resources)


def delta_response(
    body: bytes, *, type_url: str, nonce: str, version: str, removed: Iterable[str], control_plane: bytes
) -> bytes:
    """A `DeltaDiscoveryResponse` around a body of `delta_body`."""
    parts = [wire.tagged_text(1, version), wire.tagged_text(4, type_url), wire.tagged_text(5, nonce)]
    parts += (wire.tagged(6, name.encode()) for name in removed)
    parts += (wire.tagged(7, control_plane), body)
    return b"".join(parts)


def sotw_response(body: bytes, *, type_url: str, nonce: str, version: str, control_plane: bytes) -> bytes:
    """A `DiscoveryResponse` around a body of `sotw_body`."""
    head = wire.tagged_text(1, version) + wire.tagged_text(4, type_url) + wire.tagged_text(5, nonce)
    return head + wire.tagged(6, control_plane) + body


def _node(data: bytes) -> Node:
    identifier = cluster = version = ""
    metadata: dict[str, Any] = {}
    locality = ("", "", "")
    for number, value in wire.fields(data):
        match number:
            case 1:
                identifier = wire.text(value)
            case 2:
                cluster = wire.text(value)
            case 3:
                metadata = wire.struct_fields(wire.message(value))
            case 4:
                locality = _locality(wire.message(value))
            case 8:
                version = _build_version(wire.message(value))
            case _:
                pass
    return Node(identifier, cluster, metadata, version, locality)


def _locality(data: bytes) -> tuple[str, str, str]:
    held = {number: wire.text(value) for number, value in wire.fields(data)}
    return held.get(1, ""), held.get(2, ""), held.get(3, "")


def _build_version(data: bytes) -> str:
    for number, value in wire.fields(data):
        if number == 1:
            parts = dict(wire.fields(wire.message(value)))
            return f"{parts.get(1, 0)}.{parts.get(2, 0)}.{parts.get(3, 0)}"
    return ""


def _status(data: bytes) -> str:
    for number, value in wire.fields(data):
        if number == 2:
            return wire.text(value)
    return ""
