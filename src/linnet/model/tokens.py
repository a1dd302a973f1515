"""Which tokens workloads believe."""

from msgspec import Struct

from linnet.model.service import Labels


class Issuer(Struct, frozen=True, cache_hash=True):
    """Who issues tokens, where they are found in a request, and what becomes of them. `timeout` in seconds.

    The keys are in `keys` (a JWK set), or behind `uri`; with neither, no token of the issuer is good.
    """

    name: str
    audiences: tuple[str, ...] = ()
    keys: str = ""
    uri: str = ""
    timeout: float = 5.0
    headers: tuple[tuple[str, str], ...] = ()  # name, prefix of the value
    parameters: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()
    forward: bool = False
    payload_header: str = ""
    claim_headers: tuple[tuple[str, str], ...] = ()  # claim, header
    lists: tuple[str, ...] = ()  # claims whose texts are lists, divided by spaces
    required: bool = False


class RequestAuthentication(Struct, frozen=True, cache_hash=True):
    """The issuers that the selected workloads believe; no selector means all of the namespace."""

    namespace: str
    name: str
    created: str
    selector: Labels | None
    issuers: tuple[Issuer, ...]
