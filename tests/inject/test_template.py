"""The template language, the merge and the patch."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.inject.merge import difference, merged
from linnet.inject.template import TemplateError, compile_template
from linnet.local.api.jsonpatch import json_patch

pytestmark = pytest.mark.unit

CONTEXT = {"a": {"text": "x", "number": 3, "yes": True, "no": False, "nothing": None, "list": [1]}}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${a.text}", "x"),
        ("${a.number}", 3),
        ("n${a.number}-${a.text}", "n3-x"),
        ("--flag=${a.yes}", "--flag=true"),
        ("$(POD) $a {a}", "$(POD) $a {a}"),
        ({"k": "${a.nothing}", "l": "${a.list}"}, {"l": [1]}),
        ({"k": "${a.missing.deep}"}, {}),
        ([{"$if": "a.yes", "n": 1}, {"$if": "a.no", "n": 2}, {"$if": "!a.no", "n": 3}], [{"n": 1}, {"n": 3}]),
        (["a", {"$if": "a.no", "$text": "b"}, {"$if": "a.yes", "$text": "c${a.number}"}], ["a", "c3"]),
        ({"k": {"$if": "a.no", "n": 1}}, {}),
    ],
)
def test_rendering(template: Any, value: Any) -> None:
    """References keep types, null drops, conditions keep or drop."""
    assert compile_template(template)(CONTEXT) == value


def test_unknown_roots_are_errors() -> None:
    """A reference to something that is no part of the context is a mistake of the template."""
    with pytest.raises(TemplateError, match="the context has no 'b'"):
        compile_template("${b.text}")(CONTEXT)


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        (
            {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}]},
            {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}, {"name": "b"}]},
            {
                "containers": [
                    {"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                    {"name": "b"},
                ]
            },
        ),
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        (
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
            {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
        ),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "valueFrom": {}}]},
            {"env": [{"name": "A", "valueFrom": {}}]},
        ),
    ],
)
def test_merging(base: Any, patch: Any, result: Any) -> None:
    """Strategic merge: named lists by name, other lists whole, one source per volume and value."""
    assert merged(base, patch) == result


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "a/b", "~"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b/c", "d~e"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.laws
@given(old=st.dictionaries(st.sampled_from("abc"), JSON), new=st.dictionaries(st.sampled_from("abc"), JSON))
def test_the_patch_turns_old_into_new(old: Any, new: Any) -> None:
    """Applied by another implementation, the difference gives the new object."""
    assert json_patch(old, difference(old, new)) == new
