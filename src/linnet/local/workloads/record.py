"""What a load client saw, counted by protocol, target and pod; each failure with its moment."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

MOST_FAILURES = 20_000  # that are kept in full; all are counted
RESET, BY_US = "reset", "by us"  # how streams end, beside how the peer told that they do
_STEP = 1.15  # ratio of neighbouring latency buckets
Failure = dict[str, object]


class Latencies:
    """A histogram of seconds with buckets 15 % apart."""

    __slots__ = ("_counts", "longest", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.total = 0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        bucket, bound = 0, 0.0001
        while bound < seconds:
            bucket, bound = bucket + 1, bound * _STEP
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.total += 1
        self.longest = max(self.longest, seconds)

    def quantile(self, part: float) -> float:
        """Seconds that at least `part` of all stayed below."""
        left = part * self.total
        for bucket, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return min(self.longest, 0.0001 * _STEP**bucket)
        return self.longest


class Tally:
    """The counts of one protocol to one target. For long streams a request is a message on one of them."""

    def __init__(self, protocol: str, url: str) -> None:
        self.protocol, self.url = protocol, url
        self.ok = 0
        self.failed: dict[str, int] = {}
        self.pods: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.latencies = Latencies()
        self.late = 0  # requests that had to wait for a connection
        self.last_ok = 0.0
        self.longest_gap = 0.0  # seconds between two good responses
        self.opened = 0  # long streams
        self.ended: dict[str, int] = {}  # long streams by how they ended

    def good(self, now: float, seconds: float, pod: str, version: str) -> None:
        """Count a response that was as it should be; `now` is in seconds of a steady clock."""
        self.ok += 1
        self.pods[pod] = self.pods.get(pod, 0) + 1
        self.versions[version] = self.versions.get(version, 0) + 1
        self.latencies.add(seconds)
        if self.last_ok:
            self.longest_gap = max(self.longest_gap, now - self.last_ok)
        self.last_ok = now

    def bad(self, kind: str) -> None:
        """Count a failure."""
        self.failed[kind] = self.failed.get(kind, 0) + 1

    def end(self, how: str) -> None:
        """Count a long stream that ended."""
        self.ended[how] = self.ended.get(how, 0) + 1

    def counts(self) -> dict[str, int]:
        """What adds up over targets: requests, failed, opened, told, by us, reset."""
        failed = sum(self.failed.values())
        resets, ours = self.ended.get(RESET, 0), self.ended.get(BY_US, 0)
        return {
            "requests": self.ok + failed,
            "failed": failed,
            "opened": self.opened,
            "told": sum(self.ended.values()) - resets - ours,
            "by_us": ours,
            "reset": resets,
        }

    def summary(self) -> dict[str, object]:
        """The counts as JSON-able data; times in milliseconds."""
        return {
            "protocol": self.protocol,
            "url": self.url,
            "ok": self.ok,
            **self.counts(),
            "kinds": dict(sorted(self.failed.items())),
            "ended": dict(sorted(self.ended.items())),
            "late": self.late,
            "pods": dict(sorted(self.pods.items())),
            "versions": dict(sorted(self.versions.items())),
            "latency_ms": {
                "p50": round(1000 * self.latencies.quantile(0.5), 2),
                "p99": round(1000 * self.latencies.quantile(0.99), 2),
                "max": round(1000 * self.latencies.longest, 2),
            },
            "longest_gap_ms": round(1000 * self.longest_gap, 1),
        }


class Record:
    """Everything that was seen, of all targets."""

    def __init__(self, name: str, started: datetime) -> None:
        self.name = name
        self.started = started
        self.tallies: list[Tally] = []
        self.failures: list[Failure] = []

    def tally(self, protocol: str, url: str) -> Tally:
        """Begin to count for a protocol and a target."""
        self.tallies.append(Tally(protocol, url))
        return self.tallies[-1]

    def fail(
        self, tally: Tally, moment: datetime, kind: str, detail: str, pod: str, *, after: float = 0
    ) -> Failure:
        """Count a failure and keep it.

        It began at `moment` (a stream: when it was opened) and failed `after` seconds later, the `at` of the
        record; `pod` answered it, or answered last.
        """
        tally.bad(kind)
        failure: Failure = {
            "at": _written(moment + timedelta(seconds=after)),
            "began": _written(moment),
            "after_ms": round(1000 * after),
            "protocol": tally.protocol,
            "target": tally.url,
            "kind": kind,
            "detail": detail,
            "pod": pod,
        }
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(failure)
        return failure

    def totals(self) -> tuple[int, int]:
        """Requests, and how many of them failed."""
        counts = [tally.counts() for tally in self.tallies]
        return sum(one["requests"] for one in counts), sum(one["failed"] for one in counts)

    def report(self, now: datetime, *, running: bool) -> dict[str, Any]:
        """The report as JSON-able data."""
        requests, failed = self.totals()
        return {
            "name": self.name,
            "started": _written(self.started),
            "seconds": round((now - self.started).total_seconds(), 1),
            "running": running,
            "requests": requests,
            "failed": failed,
            "protocols": by_protocol(self.tallies),
            "targets": [tally.summary() for tally in self.tallies],
            "failures": self.failures,
        }

    def text(self, now: datetime) -> str:
        """The report for people."""
        requests, failed = self.totals()
        seconds = (now - self.started).total_seconds()
        lines = [f"{self.name}: {requests} requests in {seconds:.0f} s, {failed} failed"]
        for tally in self.tallies:
            lines += _described(tally)
        lines += [f"  {describe(failure)}" for failure in self.failures[:20]]
        if len(self.failures) > 20:
            lines.append(f"  … and {failed - 20} more; the JSON report has {len(self.failures)} of them")
        return "\n".join(lines) + "\n"

    def json(self, now: datetime, *, running: bool) -> bytes:
        """The report as JSON text."""
        return json.dumps(self.report(now, running=running), indent=1).encode() + b"\n"


def by_protocol(tallies: Iterable[Tally]) -> dict[str, dict[str, int]]:
    """The counts of all targets together, by protocol."""
    found: dict[str, dict[str, int]] = {}
    for tally in tallies:
        total = found.setdefault(tally.protocol, {})
        for name, count in tally.counts().items():
            total[name] = total.get(name, 0) + count
    return found


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _described(tally: Tally) -> list[str]:
    summary = tally.summary()
    latency = summary["latency_ms"]
    assert isinstance(latency, dict)
    head = f"  {tally.protocol} {tally.url}  ok {tally.ok}  failed {summary['failed']}  "
    times = f"p50 {latency['p50']} ms  p99 {latency['p99']} ms  max {latency['max']} ms  "
    lines = [f"{head}{times}longest gap {summary['longest_gap_ms']} ms"]
    if tally.opened:
        ends = ", ".join(f"{how} {count}" for how, count in sorted(tally.ended.items())) or "none"
        lines.append(f"    streams: {tally.opened} opened; ended: {ends}")
    lines += [f"    answered by {pod or '(unnamed)'}: {count}" for pod, count in sorted(tally.pods.items())]
    lines += [f"    {kind}: {count}" for kind, count in sorted(tally.failed.items())]
    return lines


def describe(failure: Failure) -> str:
    """One failure in one line."""
    who = f" (pod {failure['pod']})" if failure["pod"] else ""
    what = f"{failure['protocol']} {failure['target']}: {failure['kind']}: {failure['detail']}"
    return f"{failure['at']} FAILED {what}, after {failure['after_ms']} ms{who}"
