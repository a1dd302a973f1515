"""Collects what is wrong with one object while it is read."""

import msgspec

from linnet.model.problem import Problem, Ref


class Report:
    """Problems of one object, in the order in which they were found."""

    __slots__ = ("about", "found")

    def __init__(self, about: Ref) -> None:
        self.about = about
        self.found: list[Problem] = []

    def invalid(self, path: str, message: str) -> None:
        """A part is wrong and is left out."""
        self._add("Invalid", path, message)

    def not_honoured(self, path: str) -> None:
        """A field is understood and has no effect yet."""
        self._add("FieldNotHonoured", path, "is accepted but has no effect yet")

    def conflict(self, path: str, message: str) -> None:
        """Another object has the first claim."""
        self._add("Conflict", path, message)

    def not_found(self, path: str, message: str) -> None:
        """Refers to something that is not there."""
        self._add("NotFound", path, message)

    def _add(self, reason: str, path: str, message: str) -> None:
        self.found.append(Problem(self.about, reason, path, message))


def shape_fault(fault: msgspec.ValidationError) -> tuple[str, str]:
    """Path and message of a value that does not have the shape of its type."""
    text = str(fault)
    message, _, path = text.partition(" - at `$")
    return "spec" + path.rstrip("`") if path else "spec", message
