"""Kubernetes quantities (`250m`, `1Gi`, `2e3`) as exact numbers.

Source: Kubernetes API reference, Quantity.
"""

from decimal import ROUND_CEILING, Decimal, InvalidOperation

_BINARY = {unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
}


def parse(text: str | float) -> Decimal:
    """The number that a quantity stands for. Raises ValueError."""
    quantity = str(text).strip()
    for suffix, factor in (*_BINARY.items(), *_DECIMAL.items()):
        if quantity.endswith(suffix) and quantity != suffix:
            number, scale = quantity.removesuffix(suffix), factor
            break
    else:
        number, scale = quantity, Decimal(1)
    try:
        return Decimal(number) * scale
    except InvalidOperation as error:
        raise ValueError(f"not a quantity: {text!r}") from error


def in_units(quantity: Decimal, divisor: str | float) -> int:
    """How many divisors a quantity is, rounded up; divisor 0 counts as 1.

    Source: Kubernetes, resourceFieldRef.
    """
    unit = parse(divisor) or Decimal(1)
    return int((quantity / unit).to_integral_value(ROUND_CEILING))
