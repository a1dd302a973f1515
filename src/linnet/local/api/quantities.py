"""Kubernetes quantities: `100m`, `1.5Gi`, `2e3`, and their canonical form.

Source: Kubernetes, `apimachinery/pkg/api/resource`.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal
from functools import lru_cache

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?|[eE][+-]?\d+)")
_BINARY = {suffix: 1024**power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BY_POWER = {power: suffix for suffix, power in _DECIMAL.items()}
_NANO = Decimal(1).scaleb(-9)


class BadQuantity(ValueError):
    """Not a quantity; the text is Go's."""

    def __init__(self) -> None:
        super().__init__(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )


def value(text: str) -> Decimal:
    """The number that a quantity means, rounded up to billionths. Raises: BadQuantity."""
    return _parsed(text)[0]


def _parsed(text: str) -> tuple[Decimal, str]:
    matched = _FORM.fullmatch(text)
    if not matched:
        raise BadQuantity
    number, suffix = Decimal(matched[1]), matched[2]
    if suffix in _BINARY:
        number *= _BINARY[suffix]
    elif suffix in _DECIMAL:
        number = number.scaleb(_DECIMAL[suffix])
    else:
        number = number.scaleb(int(suffix[1:]))
    return number.quantize(_NANO, rounding=ROUND_UP) if number % _NANO else number, suffix


@lru_cache(maxsize=1024)
def canonical(text: str) -> str:
    """The form in which the server stores a quantity: no fraction, the largest suffix that allows it."""
    number, suffix = _parsed(text)
    if number == 0:
        return "0"
    if suffix in _BINARY and abs(number) >= 1024 and number % 1 == 0:
        return _binary(int(number))
    power = -9
    scaled = int(number.scaleb(9))
    while scaled % 1000 == 0 and power < 18:
        scaled //= 1000
        power += 3
    if suffix[:1] in ("e", "E") and suffix not in _DECIMAL:
        return f"{scaled}e{power}" if power else str(scaled)
    return f"{scaled}{_BY_POWER[power]}"


def _binary(number: int) -> str:
    last = ""
    for suffix in _BINARY:
        if number % 1024:
            break
        number //= 1024
        last = suffix
    return f"{number}{last}"
