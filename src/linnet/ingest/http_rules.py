"""Rules for requests of a VirtualService.

Source: Istio, HTTPRoute of VirtualService.
"""

from collections.abc import Iterator, Mapping

from linnet.ingest import values
from linnet.ingest.home import Home
from linnet.ingest.report import Report
from linnet.model.route import (
    NO_CHANGE,
    Answer,
    Cors,
    Fault,
    FieldMatch,
    HeaderChange,
    HttpMatch,
    HttpRoute,
    Mirror,
    Redirect,
    Retries,
    Rewrite,
    Source,
    Test,
    TextMatch,
    Weighted,
)
from linnet.objects import virtual_service as written

_EVERYTHING = 1_000_000
_REDIRECTS = {301, 302, 303, 307, 308}
_CONDITIONS = frozenset(
    {
        *("5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "envoy-ratelimited"),
        *("retriable-4xx", "refused-stream", "retriable-status-codes", "retriable-headers"),
        *("http3-post-connect-failure", "cancelled", "deadline-exceeded", "internal"),
        *("resource-exhausted", "unavailable"),
    }
)
_GRPC = {
    "OK": 0, "CANCELLED": 1, "UNKNOWN": 2, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6, "PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9,
    "ABORTED": 10, "OUT_OF_RANGE": 11, "UNIMPLEMENTED": 12, "INTERNAL": 13, "UNAVAILABLE": 14,
    "DATA_LOSS": 15, "UNAUTHENTICATED": 16,
}  # fmt: skip


class _Rule:
    """Reads one rule."""

    def __init__(self, home: Home, path: str, report: Report) -> None:
        self._home, self._path, self._report = home, path, report

    def invalid(self, field: str, message: str) -> None:
        self._report.invalid(f"{self._path}.{field}" if field else self._path, message)

    def read(self, rule: written.HttpRoute) -> HttpRoute | None:
        """The rule; None if it has no match or nothing to do with what matches."""
        matches = self._matches(rule.match)
        if not matches:
            return None
        shares = self._shares(rule.route)
        redirect = self._redirect(rule.redirect) if rule.redirect is not None else None
        answer = self._answer(rule.direct_response) if rule.direct_response is not None else None
        if not shares and redirect is None and answer is None:
            self.invalid("", "is left out: there is nowhere to go")
            return None
        request, response = self.headers(rule.headers, "headers")
        return HttpRoute(
            matches=matches,
            name=rule.name or "",
            destinations=shares,
            redirect=redirect,
            answer=answer,
            rewrite=self._rewrite(rule.rewrite) if rule.rewrite is not None else None,
            timeout=self.seconds(rule.timeout, "timeout") or 0,
            retries=self._retries(rule.retries) if rule.retries is not None else None,
            fault=self._fault(rule.fault) if rule.fault is not None else None,
            mirrors=tuple(self._mirrors(rule)),
            cors=self._cors(rule.cors_policy) if rule.cors_policy is not None else None,
            request=request,
            response=response,
        )

    # -- matches -----------------------------------------------------------------------------------

    def _matches(self, matches: tuple[written.HttpMatch, ...]) -> tuple[HttpMatch, ...]:
        if not matches:
            return (HttpMatch(self._home.source((), None, None, None)),)
        found = (self._match(match, f"match[{number}]") for number, match in enumerate(matches))
        return tuple(match for match in found if match is not None)

    def _match(self, match: written.HttpMatch, path: str) -> HttpMatch | None:
        """A match; None if a part is wrong, since without it the match would take too much."""
        before = len(self._report.found)
        uri = self._text(match.uri, f"{path}.uri") if match.uri is not None else None
        if uri is not None and uri.test is not Test.REGEX and not uri.value.startswith("/"):
            if uri.test is Test.PRESENT:
                uri = None
            elif uri.test is not Test.PREFIX and uri.value != "*":
                self.invalid(f"{path}.uri", f"{uri.value!r} is not a path")
        fields = [
            *self._fields(match.headers, f"{path}.headers", inverted=False),
            *self._fields(match.without_headers, f"{path}.withoutHeaders", inverted=True),
        ]
        for name, text in (
            (":method", match.method),
            (":authority", match.authority),
            (":scheme", match.scheme),
        ):
            held = self._text(text, f"{path}.{name[1:]}") if text is not None else None
            if held is not None:
                fields.append(FieldMatch(name, held))
        query = tuple(self._query(match.query_params, f"{path}.queryParams"))
        source = self._source(match, path)
        if len(self._report.found) != before:
            return None
        prefix = match.stat_prefix or ""
        ignore = bool(match.ignore_uri_case)
        return HttpMatch(source, match.name or "", prefix, uri, ignore, tuple(fields), query)

    def _source(self, match: written.HttpMatch, path: str) -> Source:
        if match.port is not None and not values.is_port(match.port):
            self.invalid(f"{path}.port", f"{match.port} is not the number of a port")
        return self._home.source(match.gateways, match.source_labels, match.source_namespace, match.port)

    def _text(self, held: written.StringMatch, path: str) -> TextMatch | None:
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

    def _fields(
        self, headers: Mapping[str, written.StringMatch] | None, path: str, *, inverted: bool
    ) -> Iterator[FieldMatch]:
        for name, held in sorted((headers or {}).items()):
            where = f"{path}[{name}]"
            if name.startswith("@request.auth.claims"):
                self.invalid(where, "claims of tokens cannot be looked at yet")
            elif not values.is_header_name(name.lstrip(":")):
                self.invalid(where, "is not the name of a header")
            elif (text := self._text(held, where)) is not None:
                yield FieldMatch(name.lower(), text, inverted)

    def _query(self, wanted: Mapping[str, written.StringMatch] | None, path: str) -> Iterator[FieldMatch]:
        for name, held in sorted((wanted or {}).items()):
            text = self._text(held, f"{path}[{name}]")
            if not name or len(name) > 1024:
                self.invalid(f"{path}[{name[:20]}]", "is not the name of a parameter")
            elif text is not None:
                yield FieldMatch(name, text)

    # -- what becomes of it ------------------------------------------------------------------------

    def _shares(self, routes: tuple[written.HttpDestination, ...]) -> tuple[Weighted, ...]:
        found: list[Weighted] = []
        for number, route in enumerate(routes):
            path = f"route[{number}]"
            full = f"{self._path}.{path}.destination"
            destination = self._home.destination(route.destination, full, self._report)
            weight = route.weight or 0
            if weight < 0 or weight > 1_000_000:
                self.invalid(f"{path}.weight", f"{weight} is not a weight")
            elif destination is not None:
                found.append(Weighted(destination, weight, *self.headers(route.headers, f"{path}.headers")))
        return tuple(found)

    def _redirect(self, held: written.Redirect) -> Redirect | None:
        code = held.redirect_code or 301
        if code not in _REDIRECTS:
            self.invalid("redirect.redirectCode", f"{code} is none of {sorted(_REDIRECTS)}")
            return None
        if held.authority and not values.is_header_value(held.authority):
            self.invalid("redirect.authority", "is not the name of a host")
            return None
        for field, text in (("uri", held.uri), ("prefixRewrite", held.prefix_rewrite)):
            if text and not values.is_header_value(text):
                self.invalid(f"redirect.{field}", "is not a path")
                return None
        scheme = (held.scheme or "").lower()
        if scheme not in {"", "http", "https"}:
            self.invalid("redirect.scheme", f"{held.scheme!r} is neither http nor https")
            return None
        port = held.port or 0
        if port and not values.is_port(port):
            self.invalid("redirect.port", f"{port} is not the number of a port")
            return None
        return Redirect(
            host=held.authority or "",
            path=held.uri or "",
            prefix=held.prefix_rewrite or "",
            scheme=scheme,
            port=port,
            code=code,
            port_of_request=held.derive_port == "FROM_REQUEST_PORT",
        )

    def _answer(self, held: written.DirectResponse) -> Answer | None:
        if not values.is_status(held.status):
            self.invalid("directResponse.status", f"{held.status} is not a status from 200 to 599")
            return None
        if held.body is None:
            return Answer(held.status)
        if held.body.bytes is not None:
            body = values.decoded(held.body.bytes)
            if body is None:
                self.invalid("directResponse.body.bytes", "is not base64")
                return None
        else:
            body = (held.body.string or "").encode()
        if len(body) > 1_048_576:
            self.invalid("directResponse.body", "is longer than 1 MiB")
            return None
        return Answer(held.status, body)

    def _rewrite(self, held: written.Rewrite) -> Rewrite | None:
        regex: tuple[str, str] | None = None
        if held.uri_regex_rewrite is not None:
            pattern, substitution = held.uri_regex_rewrite.match or "", held.uri_regex_rewrite.rewrite or ""
            fault = values.pattern_fault(pattern) or values.substitution_fault(pattern, substitution)
            if fault:
                self.invalid("rewrite.uriRegexRewrite", fault)
                return None
            regex = (pattern, substitution)
        prefix = held.uri or ""
        authority = held.authority or ""
        if not values.is_header_value(prefix) or not values.is_header_value(authority):
            self.invalid("rewrite", "holds a character that no path and no host has")
            return None
        return Rewrite(prefix, regex, authority)

    def _retries(self, held: written.Retries) -> Retries:
        usual = Retries()
        words = [word.strip() for word in (held.retry_on or usual.conditions).split(",") if word.strip()]
        codes = tuple(int(word) for word in words if word.isdecimal() and 100 <= int(word) < 600)
        conditions = [word for word in words if word in _CONDITIONS]
        for word in words:
            if word not in _CONDITIONS and not (word.isdecimal() and int(word) in codes):
                self.invalid("retries.retryOn", f"{word!r} is not a reason to try again")
        if codes and "retriable-status-codes" not in conditions:
            conditions.append("retriable-status-codes")
        attempts = held.attempts if held.attempts is not None else usual.attempts
        return Retries(
            attempts=max(0, min(attempts, 1000)),
            conditions=",".join(conditions) or usual.conditions,
            status_codes=codes,
            per_try_timeout=self.seconds(held.per_try_timeout, "retries.perTryTimeout") or 0,
            backoff=self.seconds(held.backoff, "retries.backoff", least=0.001) or 0,
            other_hosts=not held.retry_ignore_previous_hosts
            if held.retry_ignore_previous_hosts is not None
            else True,
            other_localities=bool(held.retry_remote_localities),
        )

    def _fault(self, held: written.Fault) -> Fault | None:
        delay, delay_share, status, grpc, abort_share = 0.0, 0, 0, 0, 0
        if held.delay is not None and held.delay.fixed_delay is not None:
            percent = held.delay.percent if held.delay.percentage is None else held.delay.percentage.value
            delay = self.seconds(held.delay.fixed_delay, "fault.delay.fixedDelay", least=0.001) or 0
            delay_share = self._share(percent, "fault.delay.percentage")
        if held.abort is not None:
            percentage = held.abort.percentage
            abort_share = self._share(
                percentage.value if percentage is not None else None, "fault.abort.percentage"
            )
            if held.abort.http_status is not None:
                if values.is_status(held.abort.http_status):
                    status = held.abort.http_status
                else:
                    self.invalid("fault.abort.httpStatus", f"{held.abort.http_status} is not from 200 to 599")
            elif held.abort.grpc_status is not None:
                text = held.abort.grpc_status.upper()
                number = int(text) if text.isdecimal() else _GRPC.get(text, -1)
                if 0 <= number <= 16:
                    grpc = number
                else:
                    self.invalid("fault.abort.grpcStatus", f"{text!r} is not a status of gRPC")
        if not delay and not status and not grpc:
            return None
        return Fault(delay, delay_share, status, grpc, abort_share)

    def _share(self, percent: float | None, path: str) -> int:
        """Parts of a million; all, where nothing is said; none, where it is wrong."""
        held = values.share(percent) if percent is not None else _EVERYTHING
        if held is None:
            self.invalid(path, f"{percent} is not between 0 and 100")
        return held or 0

    def _mirrors(self, rule: written.HttpRoute) -> Iterator[Mirror]:
        wanted = [(one.destination, one.percentage, f"mirrors[{n}]") for n, one in enumerate(rule.mirrors)]
        if rule.mirror is not None:
            percentage = rule.mirror_percentage
            for old in (rule.mirror_percent, rule.old_mirror_percent):
                if percentage is None and old is not None:
                    percentage = written.Percentage(float(old))
            wanted.append((rule.mirror, percentage, "mirror"))
        for held, percentage, path in wanted:
            destination = self._home.destination(held, f"{self._path}.{path}", self._report)
            percent = percentage.value if percentage is not None else None
            share = self._share(percent if percent is not None or percentage is None else 0, path)
            if destination is not None and share:
                yield Mirror(destination, share)

    def _cors(self, held: written.CorsPolicy) -> Cors:
        origins = [TextMatch(Test.EXACT, origin) for origin in held.allow_origin if origin != "*"]
        if "*" in held.allow_origin:
            origins.append(TextMatch(Test.REGEX, ".*"))
        for number, origin in enumerate(held.allow_origins):
            text = self._text(origin, f"corsPolicy.allowOrigins[{number}]")
            if text is not None:
                origins.append(TextMatch(Test.REGEX, ".*") if text.test is Test.PRESENT else text)
        age = self.seconds(held.max_age, "corsPolicy.maxAge") or 0
        return Cors(
            origins=tuple(origins),
            methods=held.allow_methods,
            headers=held.allow_headers,
            exposed=held.expose_headers,
            max_age=round(age),
            credentials=held.allow_credentials,
            forward_unmatched=held.unmatched_preflights != "IGNORE",
        )

    # -- small parts -------------------------------------------------------------------------------

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


def http_rule(rule: written.HttpRoute, home: Home, path: str, report: Report) -> HttpRoute | None:
    """One rule; None, with the problem reported, if nothing of it can be kept."""
    return _Rule(home, path, report).read(rule)
