"""What differs between trees, by path, by name, inside JSON; the edits that lead from one to the other."""

from typing import Any

import pytest

from linnet.install.difference import differences, edits
from linnet.install.tree import overlay, without_nulls

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, ["~ a: 1 → 2"]),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": True}}, ["+ a.c: true"]),
        ({"a": {"b": 1}}, {"a": {}}, ['- a: {"b": 1}']),
        ({"a": None, "b": {}}, {"b": []}, []),
        (
            {"c": [{"name": "x", "v": 1}, {"name": "y"}]},
            {"c": [{"name": "y"}, {"name": "x", "v": 2}]},
            ["~ c[x].v: 1 → 2"],
        ),
        ({"c": [{"name": "x", "v": 1}]}, {}, ['- c[x]: {"name": "x", "v": 1}']),
        (
            {"c": [{"name": "x"}]},
            {"c": [{"name": "x"}, {"name": "y", "v": 1}]},
            ['+ c[y]: {"name": "y", "v": 1}'],
        ),
        ({"args": ["proxy", "--log=a"]}, {"args": ["proxy", "--log=b"]}, ["~ args: --log=a → --log=b"]),
        ({"args": ["proxy"]}, {"args": ["proxy", "--x"]}, ["+ args: --x"]),
        ({"env": '{"a": 1, "b": 2}'}, {"env": '{"b":2,"a":3}'}, ["~ env.a: 1 → 3"]),
        ({"env": "{no json"}, {"env": "{no}"}, ["~ env: {no json → {no}"]),
        ({"p": [{"containerPort": 1}]}, {"p": [{"containerPort": 1, "name": "x"}]}, ["+ p[1].name: x"]),
        ({"v": "x" * 200}, {"v": "y"}, ["~ v: " + "x" * 79 + "… → y"]),
    ],
)
def test_differences(old: Any, new: Any, told: list[str]) -> None:
    """Short lines that a person can read."""
    assert [str(difference) for difference in differences(old, new)] == told


@pytest.mark.parametrize(
    ("rendered", "live"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 5, "d": 3}}),
        ({"a": 1, "b": {"c": 2}}, {"b": {"c": 2, "e": {"f": 1}}}),
        ({"a": [1, 2]}, {"a": [2]}),
        ({}, {"a": {"b": 1}}),
    ],
)
def test_edits_lead_from_one_to_the_other(rendered: dict[str, Any], live: dict[str, Any]) -> None:
    """Laying them over what was rendered gives what is live; what is gone is null."""
    assert without_nulls(overlay(rendered, edits(rendered, live))) == live


def test_nothing_edited() -> None:
    """Equal trees need no edit; skipped keys do not count."""
    assert edits({"a": {"b": 1}}, {"a": {"b": 1}}) == {}
    assert edits({"a": 1}, {"a": 2}, skip=("a",)) == {}
