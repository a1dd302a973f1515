"""CEL expressions with Kubernetes' function library.

Importing this module costs 0.13 s of CPU (the engine): import it when an expression must be evaluated.
Source: Kubernetes, `apiserver/pkg/cel/library`.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import cel
from cel.stdlib import add_stdlib_to_context

from linnet.local.api import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = dict[str, Any]

_ENGINE_ERRORS = (KeyError, IndexError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError)


class CelError(Exception):
    """An expression that cannot be compiled or evaluated; the text follows cel-go's where it is known."""


@lru_cache(maxsize=4096)
def compiled(expression: str) -> Any:
    """The program of an expression. Raises: CelError with the compiler's complaint."""
    try:
        return cel.compile(expression)
    except ValueError as error:
        text = str(error)
        start = text.find("ERROR:")
        raise CelError(text[start:] if start >= 0 else text) from error


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """The value of an expression. Raises: CelError."""
    program = compiled(expression)
    context = cel.Context()
    add_stdlib_to_context(context)
    for name, function in _FUNCTIONS.items():
        context.add_function(name, function)
    for name, value in variables.items():
        context.add_variable(name, value)
    try:
        return program.execute(context)
    except _ENGINE_ERRORS as error:
        raise CelError(_reworded(error)) from error


def optional(value: Any, *, present: bool) -> Any:
    """A CEL optional."""
    return cel.OptionalValue.of(value) if present else cel.OptionalValue.none()


def _reworded(error: Exception) -> str:
    """The engine's complaint in cel-go's words."""
    match error:
        case KeyError():
            return f"no such key: {error.args[0]}"
        case IndexError():
            return str(error)
        case ZeroDivisionError():
            return "division by zero"
        case TypeError():
            return "no such overload"
        case ValueError() if "parse" in str(error):
            return "type conversion error from string to int"
    return str(error)


def _holds(parse: Callable[[Any], object]) -> Callable[[Any], bool]:
    """Whether a conversion succeeds."""

    def check(value: Any) -> bool:
        try:
            parse(value)
        except (ValueError, ArithmeticError):
            return False
        return True

    return check


def _url(text: str) -> Json:
    parts = urlsplit(text)
    if not (parts.scheme and (parts.netloc or parts.path)) and not text.startswith("/"):
        raise ValueError(f"URL parse error: {text}")
    return {
        "scheme": parts.scheme,
        "host": parts.netloc.rpartition("@")[2],
        "hostname": parts.hostname or "",
        "port": str(parts.port or ""),
        "path": parts.path,
        "query": parts.query,
    }


def _cidr(text: str) -> Any:
    if "/" not in text:
        raise ValueError(f"network address parse error: {text}")
    return ipaddress.ip_network(text, strict=False)


def _contains_ip(network: str, address: str) -> bool:
    return ipaddress.ip_address(address) in _cidr(network)


def _contains_cidr(network: str, other: str) -> bool:
    return bool(_cidr(other).subnet_of(_cidr(network)))


def _sorted(values: list[Any]) -> bool:
    return all(left <= right for left, right in pairwise(values))


def _find(text: str, expression: str) -> str:
    found = re.search(expression, text)
    return found[0] if found else ""


def _find_all(text: str, expression: str, most: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(expression, text)]
    return found if most < 0 else found[:most]


def _compared(left: float, right: float) -> int:
    return (left > right) - (left < right)


def _index_of(text: Any, part: Any, start: int = 0) -> int:
    if isinstance(text, list):
        return text.index(part) if part in text else -1
    return int(text.find(part, start))


def _last_index_of(text: Any, part: Any) -> int:
    if isinstance(text, list):
        return len(text) - 1 - text[::-1].index(part) if part in text else -1
    return int(text.rfind(part))


def _format(template: str, values: list[Any]) -> str:
    """The `%s`, `%d`, `%f`, `%x` of cel-go's strings extension."""
    parts = iter(values)

    def shown(directive: re.Match[str]) -> str:
        if directive[0] == "%%":
            return "%"
        value = next(parts)
        if isinstance(value, bool):
            value = str(value).lower()
        return str(value) if directive[0] in ("%s", "%d") else directive[0] % value

    return re.sub(r"%(?:\.\d+)?[sdfxXeob%]", shown, template)


def _quantity(text: str) -> float:
    return float(quantities.value(text))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "url": _url,
    "isURL": _holds(_url),
    "getScheme": lambda url: url["scheme"],
    "getHost": lambda url: url["host"],
    "getHostname": lambda url: url["hostname"],
    "getPort": lambda url: url["port"],
    "getEscapedPath": lambda url: url["path"],
    "getQuery": lambda url: parse_qs(url["query"]),
    "quantity": _quantity,
    "isQuantity": _holds(quantities.value),
    "isGreaterThan": lambda left, right: left > right,
    "isLessThan": lambda left, right: left < right,
    "compareTo": _compared,
    "isSorted": _sorted,
    "find": _find,
    "findAll": _find_all,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "format": _format,
    "ip": lambda text: str(ipaddress.ip_address(text)),
    "isIP": _holds(ipaddress.ip_address),
    "family": lambda address: ipaddress.ip_address(address).version,
    "cidr": lambda text: str(_cidr(text)),
    "isCIDR": _holds(_cidr),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "prefixLength": lambda network: _cidr(network).prefixlen,
}
