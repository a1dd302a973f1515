"""Values as users write them, and what Envoy takes."""

import pytest

from linnet.ingest import values
from linnet.ingest.names import exports, full_gateway, full_host, host_matches
from linnet.ingest.services import protocol
from linnet.model.service import Protocol

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("1h30m", 5400),
        ("0s", 0),
        ("0", 0),
        ("", None),
        ("5", None),
        ("-1s", None),
        ("1 s", None),
        ("s", None),
        ("1week", None),
        ("99999999999h", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Go's durations; nothing negative, nothing that a protobuf message cannot hold."""
    assert values.seconds(text) == seconds


@pytest.mark.parametrize(
    ("pattern", "good"),
    [
        ("/v[0-9]+/.*", True),
        ("(?i)abc", True),
        ("(?=a)", False),
        (r"\1", False),
        ("(", False),
        ("a{1001}", False),
        ("(a{100}){100}", False),
        ("a++", False),
        ("(?>a)", False),
        ("", False),
        ("[a-z]{1,3}", True),
    ],
)
def test_patterns(pattern: str, good: bool) -> None:
    """What RE2 does not know is told before Envoy refuses it."""
    assert (values.pattern_fault(pattern) == "") is good


@pytest.mark.parametrize(
    ("domain", "good"),
    [
        ("a.example.com", True),
        ("*.example.com", True),
        ("*", True),
        ("10.0.0.1", True),
        ("a b", False),
        ("a..b", False),
        ("", False),
        ("a*", False),
        ("x" * 300, False),
        ("[::1]", True),
    ],
)
def test_domains(domain: str, good: bool) -> None:
    """Domains of virtual hosts."""
    assert values.is_domain(domain) is good


def test_commands_in_headers() -> None:
    """A percent sign begins a command in a header's value."""
    assert values.command_fault("plain") == ""
    assert values.command_fault("%REQ(:path)% %PROTOCOL% 100%%") == ""
    assert values.command_fault("100%")
    assert values.command_fault("%NO_SUCH%")


@pytest.mark.parametrize(
    ("name", "application", "number", "speaks"),
    [
        ("http", None, 80, Protocol.HTTP),
        ("http-a", None, 80, Protocol.HTTP),
        ("HTTP2-a", None, 80, Protocol.HTTP2),
        ("grpc-web-x", None, 80, Protocol.GRPC_WEB),
        ("tcp", "kubernetes.io/h2c", 80, Protocol.HTTP2),
        ("tcp", "kubernetes.io/wss", 80, Protocol.HTTPS),
        ("web", None, 80, Protocol.UNKNOWN),
        ("", None, 3306, Protocol.TCP),
        ("http", "tcp", 80, Protocol.TCP),
    ],
)
def test_protocols(name: str, application: str | None, number: int, speaks: Protocol) -> None:
    """The application protocol counts before the name, the name before well-known numbers."""
    assert protocol(name, application, number) is speaks


def test_names_are_made_whole() -> None:
    """Short names are in the namespace of the object that has them."""
    assert full_host("Reviews", "a", "c.l") == "reviews.a.svc.c.l"
    assert full_host("x.org", "a", "c.l") == "x.org"
    assert full_gateway("gw", "a") == "a/gw"
    assert full_gateway("./gw", "a") == "a/gw"
    assert full_gateway("mesh", "a") == "mesh"
    assert exports([], "a") == {"*"}
    assert exports([".", "b"], "a") == {"a", "b"}
    assert exports(["~"], "a") == frozenset()
    assert host_matches("*.x.org", "a.x.org")
    assert not host_matches("*.x.org", "x.org")
