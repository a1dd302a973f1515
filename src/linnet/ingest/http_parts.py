"""What occurs in many places of a rule for requests: texts to match, durations, shares, header changes."""

from collections.abc import Iterator, Mapping

from linnet.ingest import values
from linnet.ingest.home import Home
from linnet.ingest.report import Report
from linnet.model.route import NO_CHANGE, Destination, HeaderChange, Test, TextMatch
from linnet.objects import virtual_service as written

_EVERYTHING = 1_000_000


class Parts:
    """Reads parts of one rule; what is wrong with them is reported with their path in the object."""

    def __init__(self, home: Home, path: str, report: Report) -> None:
        self.home, self._path, self._report = home, path, report

    @property
    def faults(self) -> int:
        """How many problems have been reported."""
        return len(self._report.found)

    def invalid(self, field: str, message: str) -> None:
        """Report a field of the rule; empty: the rule."""
        self._report.invalid(f"{self._path}.{field}" if field else self._path, message)

    def destination(self, held: written.Destination, path: str) -> Destination | None:
        """Where a part sends requests; None, with the problem reported, if nowhere."""
        return self.home.destination(held, f"{self._path}.{path}", self._report)

    def text(self, held: written.StringMatch, path: str) -> TextMatch | None:
        """How a text is matched; None if wrong."""
        if held.regex is not None:
            if held.regex == "*":
                return TextMatch(Test.PRESENT)
            fault = values.pattern_fault(held.regex)
            if fault:
                self.invalid(f"{path}.regex", fault)
                return None
            return TextMatch(Test.REGEX, held.regex)
        if held.prefix is not None:
            return TextMatch(Test.PREFIX, held.prefix) if held.prefix else TextMatch(Test.PRESENT)
        if held.exact:
            return TextMatch(Test.EXACT, held.exact)
        return TextMatch(Test.PRESENT)

    def share(self, percent: float | None, path: str) -> int:
        """Parts of a million; all, where nothing is said; none, where it is wrong."""
        held = values.share(percent) if percent is not None else _EVERYTHING
        if held is None:
            self.invalid(path, f"{percent} is not between 0 and 100")
        return held or 0

    def seconds(self, text: str | None, path: str, *, least: float = 0) -> float | None:
        """Seconds of a duration; None if absent or, with the problem reported, wrong."""
        if text is None:
            return None
        held = values.seconds(text)
        if held is None or held < least:
            self.invalid(path, f"{text!r} is not a duration" + (f" from {least} s" if least else ""))
            return None
        return held

    def headers(self, held: written.Headers | None, path: str) -> tuple[HeaderChange, HeaderChange]:
        """What is done to the headers of requests and of responses."""
        if held is None:
            return NO_CHANGE, NO_CHANGE
        return (
            self._change(held.request, f"{path}.request"),
            self._change(held.response, f"{path}.response"),
        )

    def _change(self, held: written.HeaderOperations | None, path: str) -> HeaderChange:
        if held is None:
            return NO_CHANGE
        removed = []
        for number, name in enumerate(held.remove):
            if values.is_header_name(name) and name.lower() != "host":
                removed.append(name)
            else:
                self.invalid(f"{path}.remove[{number}]", f"{name!r} is not the name of a header")
        return HeaderChange(
            set=tuple(self._pairs(held.set, f"{path}.set")),
            add=tuple(self._pairs(held.add, f"{path}.add")),
            remove=tuple(removed),
        )

    def _pairs(self, held: Mapping[str, str] | None, path: str) -> Iterator[tuple[str, str]]:
        for name, value in sorted((held or {}).items()):
            if name.startswith(":") or name.lower() == "host" or not values.is_header_name(name):
                self.invalid(f"{path}[{name}]", "is not the name of a header that can be changed")
            elif not values.is_header_value(value) or values.command_fault(value):
                self.invalid(f"{path}[{name}]", values.command_fault(value) or "is not a value of a header")
            else:
                yield name, value
