"""Where requests and connections go: VirtualServices, resolved and checked."""

from enum import StrEnum

from msgspec import Struct

from linnet.model.service import Labels


class Test(StrEnum):
    """How a text is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    REGEX = "regex"
    PRESENT = "present"


class TextMatch(Struct, frozen=True):
    """A text that is wanted. `value` is empty for PRESENT."""

    test: Test
    value: str = ""


class FieldMatch(Struct, frozen=True):
    """A header or query parameter that is wanted, or with `inverted` not wanted."""

    name: str
    text: TextMatch
    inverted: bool = False


class Source(Struct, frozen=True):
    """Which proxies a match is for. `gateways` holds `mesh` or `namespace/name`."""

    gateways: frozenset[str] = frozenset({"mesh"})
    labels: Labels = frozenset()
    namespace: str = ""
    port: int = 0  # of the listener; 0 for any


class HttpMatch(Struct, frozen=True):
    """What a request must look like; no conditions mean any request."""

    source: Source = Source()
    name: str = ""
    stat_prefix: str = ""
    uri: TextMatch | None = None
    ignore_case: bool = False
    fields: tuple[FieldMatch, ...] = ()  # headers, pseudo-headers of HTTP/2 included
    query: tuple[FieldMatch, ...] = ()

    @property
    def is_catch_all(self) -> bool:
        """Every request fits."""
        everything = self.uri is None or (self.uri.test is Test.PREFIX and self.uri.value == "/")
        return everything and not self.fields and not self.query


class Destination(Struct, frozen=True):
    """A service, its subset, and its port; port 0 means the only one, or that of the listener."""

    host: str
    subset: str = ""
    port: int = 0


class HeaderChange(Struct, frozen=True):
    """What is done to the headers of requests or responses; pairs are sorted by name."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


NO_CHANGE = HeaderChange()


class Weighted(Struct, frozen=True):
    """A destination and its share."""

    destination: Destination
    weight: int = 0
    request: HeaderChange = NO_CHANGE
    response: HeaderChange = NO_CHANGE


class Rewrite(Struct, frozen=True):
    """What becomes of path and host; `regex` is (pattern, substitution)."""

    prefix: str = ""
    regex: tuple[str, str] | None = None
    authority: str = ""


class Redirect(Struct, frozen=True):
    """Sends the caller elsewhere. Empty parts stay as they were."""

    host: str = ""
    path: str = ""
    prefix: str = ""
    scheme: str = ""
    port: int = 0
    code: int = 301
    port_of_request: bool = True


class Answer(Struct, frozen=True):
    """Answered by the proxy itself."""

    status: int
    body: bytes = b""


class Retries(Struct, frozen=True):
    """How often and when a request is tried again; times in seconds, 0 for unset."""

    attempts: int = 2
    conditions: str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    status_codes: tuple[int, ...] = ()
    per_try_timeout: float = 0
    backoff: float = 0
    other_hosts: bool = True
    other_localities: bool = False


class Fault(Struct, frozen=True):
    """Errors and delays made on purpose; shares are parts of a million, the delay is in seconds."""

    delay: float = 0
    delay_share: int = 0
    status: int = 0
    grpc_status: int = 0
    abort_share: int = 0


class Mirror(Struct, frozen=True):
    """Copies of requests go here as well; the share is in parts of a million."""

    destination: Destination
    share: int


class Cors(Struct, frozen=True):
    """Which browsers may call from elsewhere."""

    origins: tuple[TextMatch, ...] = ()
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age: int = 0  # seconds
    credentials: bool | None = None
    forward_unmatched: bool = True


class HttpRoute(Struct, frozen=True, cache_hash=True):
    """One rule for requests. `timeout` in seconds, 0 for none. `retries` None means the mesh's own."""

    matches: tuple[HttpMatch, ...]
    name: str = ""
    destinations: tuple[Weighted, ...] = ()
    redirect: Redirect | None = None
    answer: Answer | None = None
    rewrite: Rewrite | None = None
    timeout: float = 0
    retries: Retries | None = None
    fault: Fault | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None
    request: HeaderChange = NO_CHANGE
    response: HeaderChange = NO_CHANGE


class ConnectionMatch(Struct, frozen=True):
    """What a connection must look like: its SNI, and where it goes."""

    source: Source = Source()
    sni: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()


class ConnectionRoute(Struct, frozen=True, cache_hash=True):
    """One rule for connections."""

    matches: tuple[ConnectionMatch, ...]
    destinations: tuple[Weighted, ...]


class VirtualService(Struct, frozen=True, cache_hash=True):
    """The rules for some hosts. Hosts and gateways are fully qualified."""

    namespace: str
    name: str
    created: str
    hosts: tuple[str, ...]
    gateways: frozenset[str]
    exported_to: frozenset[str] = frozenset({"*"})
    http: tuple[HttpRoute, ...] = ()
    tls: tuple[ConnectionRoute, ...] = ()
    tcp: tuple[ConnectionRoute, ...] = ()

    def visible_from(self, namespace: str) -> bool:
        """Whether a proxy in a namespace obeys it."""
        return "*" in self.exported_to or namespace in self.exported_to
