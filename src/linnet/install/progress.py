"""What an operation tells the person who waits for it."""

from typing import Protocol


class Report(Protocol):
    """Where progress goes; a terminal rewrites the working line, a log does not."""

    def working(self, text: str) -> None:
        """What is going on now; replaced by whatever comes next."""
        ...

    def done(self, text: str) -> None:
        """Something that is over; it stays."""
        ...


class Silent:
    """A report that nobody reads: planning is quick, and its steps are no news."""

    def working(self, text: str) -> None:
        """Nothing."""

    def done(self, text: str) -> None:
        """Nothing."""
