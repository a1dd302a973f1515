"""Label and field selectors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.local.api import selectors
from linnet.local.api.selectors import SelectorError

pytestmark = pytest.mark.unit

_KEYS = st.sampled_from(["a", "b", "app", "istio.io/rev"])
_VALUES = st.sampled_from(["", "1", "x", "canary"])
_LABELS = st.dictionaries(_KEYS, _VALUES)
_EXPRESSIONS = st.one_of(
    st.fixed_dictionaries(
        {
            "key": _KEYS,
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(_VALUES, min_size=1, max_size=3, unique=True),
        }
    ),
    st.fixed_dictionaries({"key": _KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", True),
        ("app=x", True),
        ("app==x", True),
        ("app!=x", False),
        ("nosuch!=x", True),
        ("app", True),
        ("!app", False),
        ("!nosuch", True),
        ("app in (x,y)", True),
        ("app notin (x, y)", False),
        ("nosuch notin (x)", True),
        ("n>3", True),
        ("n<3", False),
        ("app=x,n=5", True),
        ("app=x,n=6", False),
        ("empty=", True),
        ("in in (x)", False),
        ("istio.io/rev=canary", True),
    ],
)
def test_label_selectors(text: str, chosen: bool) -> None:
    """Every form of a requirement, alone and together."""
    labels = {"app": "x", "n": "5", "empty": "", "istio.io/rev": "canary"}
    assert selectors.matches(selectors.labels(text), labels) is chosen


@pytest.mark.parametrize(
    "text", ["=", "a=b=c", "a in x", "a in (x", ",", "a=b,", "a=b c", "n>x", "a b", "-a=1"]
)
def test_bad_label_selectors_are_refused(text: str) -> None:
    """What cannot be parsed says so."""
    with pytest.raises(SelectorError):
        selectors.labels(text)


def test_field_selectors() -> None:
    """Equality and inequality, with escaped commas."""
    values = {"metadata.name": "x", "spec.nodeName": "", "message": "a,b"}
    assert selectors.matches(selectors.fields("metadata.name=x,spec.nodeName!=node-1"), values)
    assert selectors.matches(selectors.fields("metadata.name==x"), values)
    assert not selectors.matches(selectors.fields("metadata.name!=x"), values)
    assert selectors.matches(selectors.fields(r"message=a\,b"), values)
    with pytest.raises(SelectorError, match="can't understand 'x'"):
        selectors.fields("x")


@pytest.mark.laws
@given(st.dictionaries(_KEYS, _VALUES, max_size=2), st.lists(_EXPRESSIONS, max_size=3), _LABELS)
def test_a_selector_and_its_text_choose_the_same(
    pairs: dict[str, str], expressions: list[dict[str, Any]], labels: dict[str, str]
) -> None:
    """`query` writes what `labels` reads, with the same meaning."""
    selector = {"matchLabels": pairs, "matchExpressions": expressions}
    chosen = selectors.selected(selector, labels)
    assert selectors.matches(selectors.labels(selectors.query(selector)), labels) is chosen


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    """Null and empty selectors differ."""
    assert not selectors.selected(None, {"a": "b"})
    assert selectors.selected({}, {"a": "b"})
