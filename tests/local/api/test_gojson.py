"""Go's complaints about bad JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.local.api.gojson import complaint

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not json\n", "invalid character 'o' in literal null (expecting 'u')"),
        ("", "unexpected end of JSON input"),
        ('{"a"', "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{a}", "invalid character 'a' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} {}", "invalid character '{' after top-level value"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        (r'"\q"', "invalid character 'q' in string escape code"),
    ],
)
def test_complaints(text: str, expected: str) -> None:
    """Each kind of mistake has Go's words."""
    assert complaint(text.encode()) == expected


@pytest.mark.laws
@given(
    st.recursive(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(),
        ),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=10,
    )
)
def test_json_is_accepted(value: object) -> None:
    """There is nothing to say about JSON, however it is indented."""
    assert complaint(json.dumps(value).encode()) == ""
    assert complaint(json.dumps(value, indent=2, ensure_ascii=False).encode()) == ""
