"""The string formats that Kubernetes checks in custom objects.

Source: Kubernetes, `apiextensions-apiserver/pkg/apiserver/validation/formats.go`.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
import uuid
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)"
)
_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|h|m|s))+|0")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HOSTNAME = re.compile(
    r"(?=.{1,255}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\.?",
    re.IGNORECASE,
)


def _succeeds(parse: Callable[[str], object]) -> Callable[[str], bool]:
    """Whether a parser accepts a text."""

    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _base64(text: str) -> bool:
    try:
        binascii.a2b_base64(text, strict_mode=bool(text))
    except binascii.Error:
        return False
    return True


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _versioned_uuid(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return uuid.UUID(text).version == version
        except ValueError:
            return False

    return check


def _cidr(text: str) -> bool:
    return "/" in text and _succeeds(lambda given: ipaddress.ip_network(given, strict=False))(text)


def _matches(expression: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: expression.fullmatch(text) is not None


FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date": _succeeds(date.fromisoformat),
    "date-time": _matches(_DATE_TIME),
    "datetime": _matches(_DATE_TIME),
    "duration": _matches(_DURATION),
    "email": _matches(_EMAIL),
    "hostname": _matches(_HOSTNAME),
    "ipv4": _succeeds(ipaddress.IPv4Address),
    "ipv6": _succeeds(ipaddress.IPv6Address),
    "cidr": _cidr,
    "mac": _matches(re.compile(r"(?:[0-9a-fA-F]{2}[:-]){5,7}[0-9a-fA-F]{2}")),
    "uri": _uri,
    "uuid": _succeeds(uuid.UUID),
    "uuid3": _versioned_uuid(3),
    "uuid4": _versioned_uuid(4),
    "uuid5": _versioned_uuid(5),
    "byte": _base64,
}
