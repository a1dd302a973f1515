"""Memory between pushes: the only cache in the program."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

R = TypeVar("R")


class Memo(Generic[R]):
    """Calls `function` once per distinct arguments, as long as somebody holds the result.

    Arguments and results must be immutable: the key is the argument list, and the same result is given again.
    A result that no offer contains any more is forgotten with its arguments.
    """

    def __init__(self, function: Callable[..., R]) -> None:
        self._function = function
        self._known: WeakValueDictionary[Hashable, R] = WeakValueDictionary()
        self.computed = 0  # how often `function` was called

    def __call__(self, *args: Hashable) -> R:
        found = self._known.get(args)
        if found is None:
            found = self._known[args] = self._function(*args)
            self.computed += 1
        return found

    def __len__(self) -> int:
        return len(self._known)
