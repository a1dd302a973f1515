"""Values as users write them, and what Envoy takes: durations, shares, patterns, header names, domains."""

import base64
import binascii
import ipaddress
import re

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 315_576_000_000  # seconds; more than this a protobuf Duration does not hold
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_DOMAIN = re.compile(r"(\*|\*\.|\*-)?([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.?)*\Z")
_HTTP_STATUS = range(200, 600)
# What Python's expressions know and RE2 does not: look-around, back-references, atomic and possessive parts,
# conditionals; and bounds above 1000.
_NOT_RE2 = re.compile(r"\(\?(?:=|!|<=|<!|>|\(|P=|#)|\\[1-9]|\\[gkZ]|[*+?}]\+|\\u|\\N")
_BOUND = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def seconds(text: str) -> float | None:
    """Seconds of a duration such as `1.5s`, `100ms` or `1h30m`; None if it is not one, or negative."""
    if text in {"0", ""}:
        return 0.0 if text else None
    at, total = 0, 0.0
    for part in _DURATION.finditer(text):
        if part.start() != at:
            return None
        total += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    return total if at == len(text) and total <= _LONGEST else None


def share(percent: float) -> int | None:
    """Parts of a million of a percentage; None if it is not between 0 and 100."""
    return round(percent * 10_000) if 0 <= percent <= 100 else None


def pattern_fault(pattern: str) -> str:
    """What keeps Envoy (RE2) from taking a regular expression; empty if nothing does."""
    if _NOT_RE2.search(pattern):
        return "uses a construct that RE2 does not know"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as fault:
        return f"is not a regular expression: {fault}"
    repeated = 1
    for bound in _BOUND.finditer(pattern):
        repeated *= max(int(bound[1]), int(bound[2] or 0), 1)
    if repeated > 1000:
        return "repeats more often than RE2 allows"
    return "" if pattern else "is empty"


def is_header_name(name: str) -> bool:
    """Whether Envoy takes it as a name of a header; pseudo-headers do not count."""
    return bool(_TOKEN.match(name)) and len(name) <= 16_384


def is_header_value(value: str) -> bool:
    """Whether Envoy takes it as a value of a header that it sets; `%` begins a command and is not literal."""
    return not any(char in value for char in "\0\r\n") and len(value) <= 16_384


def is_domain(domain: str) -> bool:
    """Whether Envoy takes it as a domain of a virtual host."""
    if not domain or len(domain) > 255:
        return False
    return bool(_DOMAIN.match(domain)) or is_address(domain.strip("[]"))


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def subnet(text: str) -> str | None:
    """A network in its plain form, `10.1.0.0/16`, an address as a network of one; None if it is neither."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return None


def is_status(code: int) -> bool:
    """Whether a proxy may answer with it."""
    return code in _HTTP_STATUS


def is_port(number: int) -> bool:
    """Whether it is the number of a port."""
    return 0 < number < 65_536


def decoded(text: str) -> bytes | None:
    """Bytes of a base64 text; None if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def substitution_fault(pattern: str, substitution: str) -> str:
    r"""What keeps Envoy from taking a substitution such as ``/new/\1``; empty if nothing does."""
    groups = re.compile(pattern).groups
    for escaped in re.finditer(r"\\(.?)", substitution):
        if not escaped[1].isdecimal() and escaped[1] != "\\":
            return "has a backslash that is not followed by the number of a group"
        if escaped[1].isdecimal() and int(escaped[1]) > groups:
            return f"names group {escaped[1]}, the pattern has {groups}"
    return "" if is_header_value(substitution) else "is not a path"


# Commands of Envoy's format strings that need nothing but the connection or the request.
_COMMANDS = re.compile(
    r"%(?:(?:REQ|RESP)\([A-Za-z0-9_:?\-]+\)|PROTOCOL|START_TIME|HOSTNAME|RESPONSE_CODE|RESPONSE_FLAGS|ROUTE_NAME|"
    r"REQUESTED_SERVER_NAME|DOWNSTREAM_REMOTE_ADDRESS(?:_WITHOUT_PORT)?|DOWNSTREAM_LOCAL_ADDRESS|"
    r"DOWNSTREAM_PEER_SUBJECT|DOWNSTREAM_PEER_URI_SAN|DOWNSTREAM_TLS_VERSION|UPSTREAM_HOST|UPSTREAM_CLUSTER)%|%%"
)


def command_fault(value: str) -> str:
    """What keeps Envoy from taking a header's value, in which `%` begins a command; empty if nothing does."""
    if "%" in _COMMANDS.sub("", value):
        return "has a % that begins no known command; a literal one is written %%"
    return ""
