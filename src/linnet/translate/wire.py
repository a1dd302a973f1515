"""Envoy's messages from values: small builders, and the step from a message to a resource."""

from collections.abc import Iterable
from hashlib import blake2b

from google.protobuf.message import Message

from linnet.envoy.messages import (
    Address,
    AggregatedConfigSource,
    Any,
    ApiVersion,
    CidrRange,
    ConfigSource,
    Duration,
    RegexMatcher,
    SocketAddress,
    StringMatcher,
    UInt32Value,
)
from linnet.model.resource import Resource
from linnet.model.route import Test, TextMatch


def any_of(message: Message) -> Any:
    """A message as `Any`; the same bytes for the same content."""
    return Any(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
        value=message.SerializeToString(deterministic=True),
    )


def resource(name: str, message: Message) -> Resource:
    """What xDS sends: serialised once, its version a hash of its bytes."""
    body = any_of(message).SerializeToString(deterministic=True)
    return Resource(name, blake2b(body, digest_size=10).hexdigest(), body)


def duration(seconds: float) -> Duration:
    """A duration; Envoy reads microseconds at best."""
    micros = round(seconds * 1_000_000)
    return Duration(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def uint32(value: int) -> UInt32Value:
    """A number that may be absent."""
    return UInt32Value(value=value)


def socket_address(address: str, port: int) -> Address:
    """A TCP address."""
    return Address(socket_address=SocketAddress(address=address, port_value=port))


def networks(texts: Iterable[str]) -> list[CidrRange]:
    """CIDR ranges, each `address` or `address/length`."""
    ranges = []
    for text in texts:
        address, _, length = text.partition("/")
        whole = 128 if ":" in address else 32
        ranges.append(CidrRange(address_prefix=address, prefix_len=uint32(int(length) if length else whole)))
    return ranges


def ads() -> ConfigSource:
    """Over the stream that this resource came by, without a limit of time."""
    return ConfigSource(
        ads=AggregatedConfigSource(), initial_fetch_timeout=Duration(), resource_api_version=ApiVersion.V3
    )


def text(match: TextMatch, *, ignore_case: bool = False) -> StringMatcher:
    """How Envoy compares a text; PRESENT is any text that is not empty."""
    match match.test:
        case Test.EXACT:
            return StringMatcher(exact=match.value, ignore_case=ignore_case)
        case Test.PREFIX:
            return StringMatcher(prefix=match.value, ignore_case=ignore_case)
        case Test.SUFFIX:
            return StringMatcher(suffix=match.value, ignore_case=ignore_case)
        case Test.REGEX:
            return StringMatcher(safe_regex=RegexMatcher(regex=match.value))
        case Test.PRESENT:
            return StringMatcher(safe_regex=RegexMatcher(regex=".+"))
