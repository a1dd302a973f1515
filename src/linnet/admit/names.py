"""Hosts, ports, labels and durations, as admission wants them: each check reports what is wrong (pure)."""

import re
from collections import Counter
from collections.abc import Iterable

from linnet.ingest.report import Report
from linnet.ingest.values import is_address, is_port, pattern_fault, seconds, subnet

_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\Z")
_DNS_LABEL = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?\Z")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?\Z")
_LABEL_KEY = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?\Z")
PROTOCOLS = frozenset(
    ("HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "REDIS", "MYSQL", "TCP", "TLS", "UDP")
)


def host(text: str, path: str, report: Report, *, wildcard: bool = True, address: bool = False) -> None:
    """A DNS name; with `wildcard` also `*` and `*.suffix`, with `address` also an IP address."""
    if address and is_address(text.strip("[]")):
        return
    name = text
    if wildcard and (text == "*" or text.startswith("*.")):
        name = text[2:]
        if not name:
            return
    labels = name.removesuffix(".").split(".")
    if not text or len(text) > 255 or not all(_DNS_LABEL.match(label) for label in labels):
        report.invalid(path, f"{text!r} is not a valid host name")


def unique(values: Iterable[str], path: str, what: str, report: Report) -> None:
    """No value twice."""
    for value, count in Counter(values).items():
        if count > 1:
            report.invalid(path, f"duplicate {what} {value!r}")


def port(number: int | None, path: str, report: Report) -> None:
    """A port number, if there is one."""
    if number is not None and not is_port(number):
        report.invalid(path, f"port {number} is not between 1 and 65535")


def protocol(text: str, path: str, report: Report) -> None:
    """A protocol that ports may have."""
    if text.upper() not in PROTOCOLS:
        report.invalid(path, f"unknown protocol {text!r}; there are: {', '.join(sorted(PROTOCOLS))}")


def label(text: str, path: str, report: Report) -> None:
    """A DNS label, as names of subsets and ports are."""
    if not _LABEL.match(text):
        report.invalid(path, f"{text!r} is not a valid name: letters, digits and -, at most 63")


def labels(values: dict[str, str] | None, path: str, report: Report) -> None:
    """Keys and values of labels."""
    for key, value in (values or {}).items():
        if not _LABEL_KEY.match(key):
            report.invalid(path, f"{key!r} is not a valid label key")
        if len(value) > 63 or not _LABEL_VALUE.match(value):
            report.invalid(f"{path}.{key}", f"{value!r} is not a valid label value")


def duration(text: str | None, path: str, report: Report, *, least: float = 0.0) -> None:
    """A duration, if there is one, of at least `least` seconds."""
    if text is None:
        return
    found = seconds(text)
    if found is None:
        report.invalid(path, f"{text!r} is not a duration; write it like 5s or 100ms")
    elif found < least:
        report.invalid(path, f"{text!r} is shorter than {least:g} s")


def pattern(text: str | None, path: str, report: Report) -> None:
    """A regular expression that Envoy takes, if there is one."""
    if text is not None and (fault := pattern_fault(text)):
        report.invalid(path, f"the regular expression {fault}")


def network(text: str, path: str, report: Report) -> None:
    """An address or a CIDR range."""
    if subnet(text) is None:
        report.invalid(path, f"{text!r} is neither an IP address nor a CIDR range")


def exports(values: Iterable[str], path: str, report: Report) -> None:
    """Namespaces of an `exportTo`."""
    given = tuple(values)
    unique(given, path, "namespace", report)
    for value in given:
        if value not in ("*", ".", "~") and not _LABEL.match(value):
            report.invalid(path, f"{value!r} is neither a namespace nor one of * . ~")
    if "~" in given and len(given) > 1:
        report.invalid(path, "~ (nobody) cannot stand beside others")
