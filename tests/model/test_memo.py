"""The only cache: it computes once, and forgets what nobody holds."""

import gc

import pytest

from linnet.model.memo import Memo
from linnet.model.resource import Resource

pytestmark = pytest.mark.unit


def made(name: str, version: str) -> Resource:
    return Resource(name, version, b"")


def test_equal_arguments_give_the_same_object() -> None:
    """The function runs once for equal arguments."""
    memo = Memo(made)
    first = memo("a", "1")
    assert memo("a", "1") is first
    assert memo("a", "2") is not first
    assert memo.computed == 2


def test_what_nobody_holds_is_forgotten() -> None:
    """Memory is that of the offers that are in use."""
    memo = Memo(made)
    held = memo("a", "1")
    memo("b", "1")
    gc.collect()
    assert len(memo) == 1
    assert memo("a", "1") is held
