"""What to ask, how often, in which protocol: targets as the command line writes them (pure).

    http://HOST[:PORT]/PATH      http1 over kept connections, http1-new over one for each request
    h2c://HOST[:PORT]/PATH       http2, with prior knowledge
    grpc://HOST[:PORT]           grpc: unary calls
    grpc+server://, grpc+bidi:// long streams: answers at a rhythm; messages that come back
    tcp://HOST:PORT              long connections
    ws://HOST[:PORT]/PATH        long WebSockets

What a URL's fragment says is for this target alone: `http://web/#rate=50&connections=4&new=5`,
`tcp://web:9000#streams=3&every=0.5&life=20`.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from msgspec.structs import replace

PROTOCOLS: Mapping[str, str] = {
    "http": "http1",
    "h2c": "http2",
    "grpc": "grpc",
    "grpc+server": "grpc-server",
    "grpc+bidi": "grpc-bidi",
    "tcp": "tcp",
    "ws": "websocket",
}
LONG = frozenset({"grpc-server", "grpc-bidi", "tcp", "websocket"})
_FORMS = "http, h2c, grpc, grpc+server, grpc+bidi, tcp, ws"


class Pace(Struct, frozen=True):
    """How a target is asked; rates per second, times in seconds."""

    rate: float = 20.0
    connections: int = 4
    new: float = 0.0  # requests a second, each on a connection of its own
    streams: int = 2
    every: float = 1.0  # between messages on a stream
    life: float = 0.0  # of a stream, until we end it; 0: until its server does


class Aim(Struct, frozen=True):
    """A target. `protocol` is one of PROTOCOLS."""

    protocol: str
    url: str
    host: str
    port: int
    path: str
    authority: str
    pace: Pace

    @property
    def long(self) -> bool:
        """Whether it is about streams that last."""
        return self.protocol in LONG


def aim(text: str, pace: Pace) -> Aim:
    """Read a target; its fragment overrides `pace`. Raises ValueError."""
    parts = urlsplit(text)
    url = text.partition("#")[0]
    protocol = PROTOCOLS.get(parts.scheme)
    if protocol is None or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL of the form http://HOST[:PORT]/PATH; schemes: {_FORMS}")
    if protocol == "tcp" and not parts.port:
        raise ValueError(f"{url!r} names no port; write tcp://HOST:PORT")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own: dict[str, float | int] = {}
    for name, value in parse_qsl(parts.fragment, keep_blank_values=True):
        kind = {"rate": float, "new": float, "every": float, "life": float}.get(name)
        whole = name in ("connections", "streams")
        if kind is None and not whole:
            known = ", ".join(Pace.__struct_fields__)
            raise ValueError(f"{text!r}: there is no {name!r} to set; there are {known}")
        try:
            own[name] = int(value) if whole else float(value)
        except ValueError:
            raise ValueError(f"{text!r}: {name}={value!r} is not a number") from None
    return Aim(protocol, url, parts.hostname, parts.port or 80, path, parts.netloc, replace(pace, **own))
