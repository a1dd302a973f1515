"""Quantities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.local.api import quantities
from linnet.local.api.quantities import BadQuantity

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", "100m"),
        ("1000m", "1"),
        ("2000", "2k"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("16Mi", "16Mi"),
        ("0", "0"),
        ("128974848", "128974848"),
        (".5", "500m"),
        ("-1", "-1"),
        ("1e3", "1e3"),
    ],
)
def test_the_canonical_form(text: str, expected: str) -> None:
    """The server writes a quantity in one way only."""
    assert quantities.canonical(text) == expected


@pytest.mark.parametrize("text", ["", "ten", "1.2.3", "1 Gi", "1gi", "Mi", "1KiB"])
def test_what_is_no_quantity(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(BadQuantity):
        quantities.value(text)


@pytest.mark.laws
@given(
    st.integers(-(10**6), 10**6),
    st.sampled_from(["n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi"]),
)
def test_the_canonical_form_means_the_same(number: int, suffix: str) -> None:
    """Writing a quantity canonically neither changes its value nor is done twice."""
    once = quantities.canonical(f"{number}{suffix}")
    assert quantities.value(once) == quantities.value(f"{number}{suffix}")
    assert quantities.canonical(once) == once
