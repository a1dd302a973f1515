"""Counters, gauges and histograms in Prometheus' text format, under the names of Istio's dashboards.

Source: Prometheus, "Exposition formats" 0.0.4; Istio, names, labels and buckets of istiod's metrics.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0)


@dataclass(slots=True)
class Counter:
    """A number that only grows, per combination of label values."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: str = "counter"
    _values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, *labels: str, amount: float = 1) -> None:
        """Count one more."""
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def value(self, *labels: str) -> float:
        """The number now."""
        return self._values.get(labels, 0.0)

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Name suffix, labels and value of each sample."""
        for labels, value in self._values.items():
            yield "", dict(zip(self.labels, labels, strict=True)), value


@dataclass(slots=True)
class Gauge:
    """A number that is asked for when somebody looks."""

    name: str
    help: str
    read: Callable[[], Iterable[tuple[Mapping[str, str], float]]]
    kind: str = "gauge"

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Name suffix, labels and value of each sample."""
        for labels, value in self.read():
            yield "", labels, value


@dataclass(slots=True)
class _Distribution:
    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class Histogram:
    """How values are distributed, per combination of label values."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _SECONDS
    kind: str = "histogram"
    _values: dict[tuple[str, ...], _Distribution] = field(default_factory=dict)

    def observe(self, value: float, *labels: str) -> None:
        """Take in one value."""
        held = self._values.get(labels)
        if held is None:
            held = self._values[labels] = _Distribution([0] * (len(self.buckets) + 1))
        held.counts[bisect_left(self.buckets, value)] += 1
        held.total += value

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Name suffix, labels and value of each sample."""
        for labels, held in self._values.items():
            named = dict(zip(self.labels, labels, strict=True))
            seen = 0
            for bound, count in zip((*self.buckets, float("inf")), held.counts, strict=True):
                seen += count
                yield "_bucket", named | {"le": _number(bound)}, seen
            yield "_sum", named, held.total
            yield "_count", named, seen


Metric = Counter | Gauge | Histogram


@dataclass(slots=True)
class Metrics:
    """What this istiod counts. Gauges are added by the parts that know their values."""

    pushes: Counter = field(default_factory=lambda: Counter("pilot_xds_pushes", "Responses sent.", ("type",)))
    rejects: Counter = field(
        default_factory=lambda: Counter("pilot_total_xds_rejects", "Responses rejected.", ("type",))
    )
    expired: Counter = field(
        default_factory=lambda: Counter("pilot_xds_expired_nonce", "Answers to old responses.", ("type",))
    )
    triggers: Counter = field(
        default_factory=lambda: Counter("pilot_push_triggers", "What caused pushes.", ("type",))
    )
    events: Counter = field(
        default_factory=lambda: Counter("pilot_k8s_cfg_events", "Changes seen.", ("type", "event"))
    )
    internal_errors: Counter = field(
        default_factory=lambda: Counter("pilot_total_xds_internal_errors", "Streams refused.")
    )
    convergence: Histogram = field(
        default_factory=lambda: Histogram(
            "pilot_proxy_convergence_time", "Seconds from a change to the last response about it."
        )
    )
    push_time: Histogram = field(
        default_factory=lambda: Histogram(
            "pilot_pushcontext_init_seconds",
            "Seconds to make the snapshot and all offers of a push.",
            buckets=(0.01, 0.1, 0.5, 1.0, 3.0, 5.0),
        )
    )
    debounce: Histogram = field(
        default_factory=lambda: Histogram(
            "pilot_debounce_time",
            "Seconds from the first change to the push.",
            buckets=(0.01, *_SECONDS),
        )
    )
    size: Histogram = field(
        default_factory=lambda: Histogram(
            "pilot_xds_config_size_bytes",
            "Bytes of responses.",
            ("type",),
            buckets=(1.0, 1e4, 1e6, 4e6, 1e7, 4e7),
        )
    )
    injection_requests: Counter = field(
        default_factory=lambda: Counter("sidecar_injection_requests_total", "Injection requests.")
    )
    injection_success: Counter = field(
        default_factory=lambda: Counter("sidecar_injection_success_total", "Pods injected.")
    )
    injection_skip: Counter = field(
        default_factory=lambda: Counter("sidecar_injection_skip_total", "Pods left as they are.")
    )
    injection_failure: Counter = field(
        default_factory=lambda: Counter("sidecar_injection_failure_total", "Pods refused.")
    )
    injection_time: Histogram = field(
        default_factory=lambda: Histogram(
            "sidecar_injection_time_seconds",
            "Seconds per injection.",
            buckets=(0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0),
        )
    )
    validation_passed: Counter = field(
        default_factory=lambda: Counter(
            "galley_validation_passed", "Objects admitted.", ("group", "version", "resource")
        )
    )
    validation_failed: Counter = field(
        default_factory=lambda: Counter(
            "galley_validation_failed", "Objects refused.", ("group", "version", "resource", "reason")
        )
    )
    gauges: list[Gauge] = field(default_factory=list)

    def gauge(
        self, name: str, help_text: str, read: Callable[[], Iterable[tuple[Mapping[str, str], float]]]
    ) -> None:
        """Show a number that `read` gives when somebody looks."""
        self.gauges.append(Gauge(name, help_text, read))

    def exposition(self) -> str:
        """Everything in Prometheus' text format; a metric without samples is left out."""
        own = (getattr(self, name) for name in self.__slots__ if name != "gauges")
        lines: list[str] = []
        for metric in sorted((*own, *self.gauges), key=lambda metric: metric.name):
            lines += _lines(metric)
        return "\n".join(lines) + "\n"


def _lines(metric: Metric) -> list[str]:
    samples = [
        f"{metric.name}{suffix}{_labels(labels)} {_number(value)}"
        for suffix, labels, value in metric.samples()
    ]
    if not samples:
        return []
    return [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *samples]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
