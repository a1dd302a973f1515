"""Which requests a rule of a VirtualService takes.

Source: Istio, HTTPMatchRequest of VirtualService.
"""

from collections.abc import Iterator, Mapping

from linnet.ingest import values
from linnet.ingest.http_parts import Parts
from linnet.model.route import FieldMatch, HttpMatch, Source, Test
from linnet.objects import virtual_service as written


class Matches:
    """Reads the matches of one rule."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def read(self, matches: tuple[written.HttpMatch, ...]) -> tuple[HttpMatch, ...]:
        """The matches that can be kept; one that takes everything where none is written."""
        if not matches:
            return (HttpMatch(self._parts.home.source((), None, None, None)),)
        found = (self._match(match, f"match[{number}]") for number, match in enumerate(matches))
        return tuple(match for match in found if match is not None)

    def _match(self, match: written.HttpMatch, path: str) -> HttpMatch | None:
        """A match; None if a part is wrong, since without it the match would take too much."""
        before = self._parts.faults
        uri = self._parts.text(match.uri, f"{path}.uri") if match.uri is not None else None
        if uri is not None and uri.test is not Test.REGEX and not uri.value.startswith("/"):
            if uri.test is Test.PRESENT:
                uri = None
            elif uri.test is not Test.PREFIX and uri.value != "*":
                self._parts.invalid(f"{path}.uri", f"{uri.value!r} is not a path")
        fields = [
            *self._fields(match.headers, f"{path}.headers", inverted=False),
            *self._fields(match.without_headers, f"{path}.withoutHeaders", inverted=True),
        ]
        for name, text in (
            (":method", match.method),
            (":authority", match.authority),
            (":scheme", match.scheme),
        ):
            held = self._parts.text(text, f"{path}.{name[1:]}") if text is not None else None
            if held is not None:
                fields.append(FieldMatch(name, held))
        query = tuple(self._query(match.query_params, f"{path}.queryParams"))
        source = self._source(match, path)
        if self._parts.faults != before:
            return None
        prefix = match.stat_prefix or ""
        ignore = bool(match.ignore_uri_case)
        return HttpMatch(source, match.name or "", prefix, uri, ignore, tuple(fields), query)

    def _source(self, match: written.HttpMatch, path: str) -> Source:
        if match.port is not None and not values.is_port(match.port):
            self._parts.invalid(f"{path}.port", f"{match.port} is not the number of a port")
        return self._parts.home.source(
            match.gateways, match.source_labels, match.source_namespace, match.port
        )

    def _fields(
        self, headers: Mapping[str, written.StringMatch] | None, path: str, *, inverted: bool
    ) -> Iterator[FieldMatch]:
        for name, held in sorted((headers or {}).items()):
            where = f"{path}[{name}]"
            if name.startswith("@request.auth.claims"):
                self._parts.invalid(where, "claims of tokens cannot be looked at yet")
            elif not values.is_header_name(name.lstrip(":")):
                self._parts.invalid(where, "is not the name of a header")
            elif (text := self._parts.text(held, where)) is not None:
                yield FieldMatch(name.lower(), text, inverted)

    def _query(self, wanted: Mapping[str, written.StringMatch] | None, path: str) -> Iterator[FieldMatch]:
        for name, held in sorted((wanted or {}).items()):
            text = self._parts.text(held, f"{path}[{name}]")
            if not name or len(name) > 1024:
                self._parts.invalid(f"{path}[{name[:20]}]", "is not the name of a parameter")
            elif text is not None:
                yield FieldMatch(name, text)
