"""Rules for requests of a VirtualService.

Source: Istio, HTTPRoute of VirtualService.
"""

from collections.abc import Iterator

from linnet.ingest import values
from linnet.ingest.home import Home
from linnet.ingest.http_matches import Matches
from linnet.ingest.http_parts import Parts
from linnet.ingest.report import Report
from linnet.model.route import (
    Answer,
    Cors,
    Fault,
    HttpRoute,
    Mirror,
    Redirect,
    Retries,
    Rewrite,
    Test,
    TextMatch,
    Weighted,
)
from linnet.objects import virtual_service as written

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

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def read(self, rule: written.HttpRoute) -> HttpRoute | None:
        """The rule; None if it has no match or nothing to do with what matches."""
        matches = Matches(self._parts).read(rule.match)
        if not matches:
            return None
        shares = self._shares(rule.route)
        redirect = self._redirect(rule.redirect) if rule.redirect is not None else None
        answer = self._answer(rule.direct_response) if rule.direct_response is not None else None
        if not shares and redirect is None and answer is None:
            self._parts.invalid("", "is left out: there is nowhere to go")
            return None
        request, response = self._parts.headers(rule.headers, "headers")
        return HttpRoute(
            matches=matches,
            name=rule.name or "",
            destinations=shares,
            redirect=redirect,
            answer=answer,
            rewrite=self._rewrite(rule.rewrite) if rule.rewrite is not None else None,
            timeout=self._parts.seconds(rule.timeout, "timeout") or 0,
            retries=self._retries(rule.retries) if rule.retries is not None else None,
            fault=self._fault(rule.fault) if rule.fault is not None else None,
            mirrors=tuple(self._mirrors(rule)),
            cors=self._cors(rule.cors_policy) if rule.cors_policy is not None else None,
            request=request,
            response=response,
        )

    def _shares(self, routes: tuple[written.HttpDestination, ...]) -> tuple[Weighted, ...]:
        found: list[Weighted] = []
        for number, route in enumerate(routes):
            path = f"route[{number}]"
            destination = self._parts.destination(route.destination, f"{path}.destination")
            weight = route.weight or 0
            if weight < 0 or weight > 1_000_000:
                self._parts.invalid(f"{path}.weight", f"{weight} is not a weight")
            elif destination is not None:
                found.append(
                    Weighted(destination, weight, *self._parts.headers(route.headers, f"{path}.headers"))
                )
        return tuple(found)

    def _redirect(self, held: written.Redirect) -> Redirect | None:
        code = held.redirect_code or 301
        if code not in _REDIRECTS:
            self._parts.invalid("redirect.redirectCode", f"{code} is none of {sorted(_REDIRECTS)}")
            return None
        if held.authority and not values.is_header_value(held.authority):
            self._parts.invalid("redirect.authority", "is not the name of a host")
            return None
        for field, text in (("uri", held.uri), ("prefixRewrite", held.prefix_rewrite)):
            if text and not values.is_header_value(text):
                self._parts.invalid(f"redirect.{field}", "is not a path")
                return None
        scheme = (held.scheme or "").lower()
        if scheme not in {"", "http", "https"}:
            self._parts.invalid("redirect.scheme", f"{held.scheme!r} is neither http nor https")
            return None
        port = held.port or 0
        if port and not values.is_port(port):
            self._parts.invalid("redirect.port", f"{port} is not the number of a port")
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
            self._parts.invalid("directResponse.status", f"{held.status} is not a status from 200 to 599")
            return None
        if held.body is None:
            return Answer(held.status)
        if held.body.bytes is not None:
            body = values.decoded(held.body.bytes)
            if body is None:
                self._parts.invalid("directResponse.body.bytes", "is not base64")
                return None
        else:
            body = (held.body.string or "").encode()
        if len(body) > 1_048_576:
            self._parts.invalid("directResponse.body", "is longer than 1 MiB")
            return None
        return Answer(held.status, body)

    def _rewrite(self, held: written.Rewrite) -> Rewrite | None:
        regex: tuple[str, str] | None = None
        if held.uri_regex_rewrite is not None:
            pattern, substitution = held.uri_regex_rewrite.match or "", held.uri_regex_rewrite.rewrite or ""
            fault = values.pattern_fault(pattern) or values.substitution_fault(pattern, substitution)
            if fault:
                self._parts.invalid("rewrite.uriRegexRewrite", fault)
                return None
            regex = (pattern, substitution)
        prefix = held.uri or ""
        authority = held.authority or ""
        if not values.is_header_value(prefix) or not values.is_header_value(authority):
            self._parts.invalid("rewrite", "holds a character that no path and no host has")
            return None
        return Rewrite(prefix, regex, authority)

    def _retries(self, held: written.Retries) -> Retries:
        usual = Retries()
        words = [word.strip() for word in (held.retry_on or usual.conditions).split(",") if word.strip()]
        codes = tuple(int(word) for word in words if word.isdecimal() and 100 <= int(word) < 600)
        conditions = [word for word in words if word in _CONDITIONS]
        for word in words:
            if word not in _CONDITIONS and not (word.isdecimal() and int(word) in codes):
                self._parts.invalid("retries.retryOn", f"{word!r} is not a reason to try again")
        if codes and "retriable-status-codes" not in conditions:
            conditions.append("retriable-status-codes")
        attempts = held.attempts if held.attempts is not None else usual.attempts
        return Retries(
            attempts=max(0, min(attempts, 1000)),
            conditions=",".join(conditions) or usual.conditions,
            status_codes=codes,
            per_try_timeout=self._parts.seconds(held.per_try_timeout, "retries.perTryTimeout") or 0,
            backoff=self._parts.seconds(held.backoff, "retries.backoff", least=0.001) or 0,
            other_hosts=not held.retry_ignore_previous_hosts
            if held.retry_ignore_previous_hosts is not None
            else True,
            other_localities=bool(held.retry_remote_localities),
        )

    def _fault(self, held: written.Fault) -> Fault | None:
        delay, delay_share, status, grpc, abort_share = 0.0, 0, 0, 0, 0
        if held.delay is not None and held.delay.fixed_delay is not None:
            percent = held.delay.percent if held.delay.percentage is None else held.delay.percentage.value
            delay = self._parts.seconds(held.delay.fixed_delay, "fault.delay.fixedDelay", least=0.001) or 0
            delay_share = self._parts.share(percent, "fault.delay.percentage")
        if held.abort is not None:
            percentage = held.abort.percentage
            abort_share = self._parts.share(
                percentage.value if percentage is not None else None, "fault.abort.percentage"
            )
            status, grpc = self._abort(held.abort)
        if not delay and not status and not grpc:
            return None
        return Fault(delay, delay_share, status, grpc, abort_share)

    def _abort(self, held: written.Abort) -> tuple[int, int]:
        """The status of HTTP and that of gRPC; one of them is 0, both where neither can be kept."""
        if held.http_status is not None:
            if values.is_status(held.http_status):
                return held.http_status, 0
            self._parts.invalid("fault.abort.httpStatus", f"{held.http_status} is not from 200 to 599")
        elif held.grpc_status is not None:
            text = held.grpc_status.upper()
            number = int(text) if text.isdecimal() else _GRPC.get(text, -1)
            if 0 <= number <= 16:
                return 0, number
            self._parts.invalid("fault.abort.grpcStatus", f"{text!r} is not a status of gRPC")
        return 0, 0

    def _mirrors(self, rule: written.HttpRoute) -> Iterator[Mirror]:
        wanted = [(one.destination, one.percentage, f"mirrors[{n}]") for n, one in enumerate(rule.mirrors)]
        if rule.mirror is not None:
            percentage = rule.mirror_percentage
            for old in (rule.mirror_percent, rule.old_mirror_percent):
                if percentage is None and old is not None:
                    percentage = written.Percentage(float(old))
            wanted.append((rule.mirror, percentage, "mirror"))
        for held, percentage, path in wanted:
            destination = self._parts.destination(held, path)
            percent = percentage.value if percentage is not None else None
            share = self._parts.share(percent if percent is not None or percentage is None else 0, path)
            if destination is not None and share:
                yield Mirror(destination, share)

    def _cors(self, held: written.CorsPolicy) -> Cors:
        origins = [TextMatch(Test.EXACT, origin) for origin in held.allow_origin if origin != "*"]
        if "*" in held.allow_origin:
            origins.append(TextMatch(Test.REGEX, ".*"))
        for number, origin in enumerate(held.allow_origins):
            text = self._parts.text(origin, f"corsPolicy.allowOrigins[{number}]")
            if text is not None:
                origins.append(TextMatch(Test.REGEX, ".*") if text.test is Test.PRESENT else text)
        age = self._parts.seconds(held.max_age, "corsPolicy.maxAge") or 0
        return Cors(
            origins=tuple(origins),
            methods=held.allow_methods,
            headers=held.allow_headers,
            exposed=held.expose_headers,
            max_age=round(age),
            credentials=held.allow_credentials,
            forward_unmatched=held.unmatched_preflights != "IGNORE",
        )


def http_rule(rule: written.HttpRoute, home: Home, path: str, report: Report) -> HttpRoute | None:
    """One rule; None, with the problem reported, if nothing of it can be kept."""
    return _Rule(Parts(home, path, report)).read(rule)
