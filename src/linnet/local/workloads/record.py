"""What a load client saw, counted by target, kind and pod; each failure with its moment."""

import json
from datetime import UTC, datetime

MOST_FAILURES = 1000  # that are kept in full; all are counted
_STEP = 1.15  # ratio of neighbouring latency buckets


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
    """The counts of one target."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ok = 0
        self.failed: dict[str, int] = {}
        self.pods: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.latencies = Latencies()
        self.late = 0  # requests that had to wait for a connection
        self.last_ok = 0.0
        self.longest_gap = 0.0  # seconds between two good responses

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

    def summary(self) -> dict[str, object]:
        """The counts as JSON-able data; times in milliseconds."""
        failed = sum(self.failed.values())
        return {
            "requests": self.ok + failed,
            "ok": self.ok,
            "failed": failed,
            "kinds": dict(sorted(self.failed.items())),
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

    def __init__(self, name: str, urls: list[str], started: datetime) -> None:
        self.name = name
        self.started = started
        self.tallies = {url: Tally(url) for url in urls}
        self.failures: list[dict[str, object]] = []

    def fail(self, url: str, moment: datetime, kind: str, detail: str, pod: str) -> dict[str, object]:
        """Count a failure and keep it; `pod` is who answered it, or who answered last on its connection."""
        self.tallies[url].bad(kind)
        failure: dict[str, object] = {
            "at": moment.astimezone(UTC).isoformat(timespec="milliseconds"),
            "target": url,
            "kind": kind,
            "detail": detail,
            "pod": pod,
        }
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(failure)
        return failure

    def totals(self) -> tuple[int, int]:
        """Requests, and how many of them failed."""
        failed = sum(sum(tally.failed.values()) for tally in self.tallies.values())
        return sum(tally.ok for tally in self.tallies.values()) + failed, failed

    def report(self, now: datetime, *, running: bool) -> dict[str, object]:
        """The report as JSON-able data."""
        requests, failed = self.totals()
        return {
            "name": self.name,
            "started": self.started.astimezone(UTC).isoformat(timespec="milliseconds"),
            "seconds": round((now - self.started).total_seconds(), 1),
            "running": running,
            "requests": requests,
            "failed": failed,
            "targets": {url: tally.summary() for url, tally in self.tallies.items()},
            "failures": self.failures,
        }

    def text(self, now: datetime) -> str:
        """The report for people."""
        requests, failed = self.totals()
        seconds = (now - self.started).total_seconds()
        lines = [f"{self.name}: {requests} requests in {seconds:.0f} s, {failed} failed"]
        for url, tally in self.tallies.items():
            summary = tally.summary()
            latency = summary["latency_ms"]
            assert isinstance(latency, dict)
            lines.append(
                f"  {url}  ok {tally.ok}  failed {summary['failed']}  "
                f"p50 {latency['p50']} ms  p99 {latency['p99']} ms  max {latency['max']} ms  "
                f"longest gap {summary['longest_gap_ms']} ms"
            )
            lines += [
                f"    answered by {pod or '(unnamed)'}: {count}" for pod, count in sorted(tally.pods.items())
            ]
            lines += [f"    {kind}: {count}" for kind, count in sorted(tally.failed.items())]
        lines += [f"  {describe(failure)}" for failure in self.failures[:20]]
        if len(self.failures) > 20:
            lines.append(f"  … and {failed - 20} more; the JSON report has {len(self.failures)} of them")
        return "\n".join(lines) + "\n"

    def json(self, now: datetime, *, running: bool) -> bytes:
        """The report as JSON text."""
        return json.dumps(self.report(now, running=running), indent=1).encode() + b"\n"


def describe(failure: dict[str, object]) -> str:
    """One failure in one line."""
    who = f" (pod {failure['pod']})" if failure["pod"] else ""
    return f"{failure['at']} FAILED {failure['target']}: {failure['kind']}: {failure['detail']}{who}"
