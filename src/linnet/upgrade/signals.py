"""What a proxy and an istiod count, and how much of it came between two readings (pure).

Source: Envoy, statistics of its HTTP connection manager; Istio, names of istiod's metrics.
"""

from collections.abc import Mapping

from msgspec import Struct

from linnet.upgrade.exposition import Histogram, Sample, histogram, samples

ENVOY = "/stats/prometheus?filter=downstream_rq_"  # of Envoy's admin port
_CLASSES = "envoy_http_downstream_rq"
_TIMES = "envoy_http_downstream_rq_time"
_RESETS = ("envoy_http_downstream_rq_rx_reset", "envoy_http_downstream_rq_tx_reset")


class Signals(Struct, frozen=True):
    """Requests: how many, with which end, how long they took (milliseconds)."""

    answered: float = 0.0  # with a status
    failed: float = 0.0  # of them with 5xx
    reset: float = 0.0  # broken off by either side before the answer was complete
    times: Histogram = Histogram()

    @property
    def requests(self) -> float:
        """All of them."""
        return self.answered + self.reset

    def plus(self, other: "Signals") -> "Signals":
        """Both together."""
        return Signals(
            self.answered + other.answered,
            self.failed + other.failed,
            self.reset + other.reset,
            self.times.plus(other.times),
        )

    def since(self, earlier: "Signals") -> "Signals":
        """What came after an earlier reading; all of it if the proxy started anew in between."""
        if self.requests < earlier.requests:
            return self
        return Signals(
            self.answered - earlier.answered,
            self.failed - earlier.failed,
            self.reset - earlier.reset,
            self.times.since(earlier.times),
        )


class Counted(Struct, frozen=True):
    """What istiods counted since they started."""

    rejects: Mapping[str, float] = {}  # type -> responses that proxies rejected
    errors: float = 0.0  # streams that istiod refused
    refused: float = 0.0  # pods that the injector refused
    convergence: Histogram = Histogram()  # seconds from a change to the last response about it
    injects: bool = True  # whether the injection configuration can be used

    @property
    def rejected(self) -> float:
        """Of all types."""
        return sum(self.rejects.values())

    def plus(self, other: "Counted") -> "Counted":
        """Both together."""
        types = {*self.rejects, *other.rejects}
        return Counted(
            {name: self.rejects.get(name, 0.0) + other.rejects.get(name, 0.0) for name in sorted(types)},
            self.errors + other.errors,
            self.refused + other.refused,
            self.convergence.plus(other.convergence),
            self.injects and other.injects,
        )


def of_envoy(text: str) -> Signals | None:
    """What Envoy's statistics say; None: it keeps none of requests (nobody sends it any, or it is older)."""
    held = [sample for sample in samples(text) if "http_conn_manager_prefix" in sample.labels]
    classes = [sample for sample in held if sample.name == _CLASSES]
    if not classes:
        return None
    return Signals(
        # 1xx comes before another status
        sum(sample.value for sample in classes if sample.labels.get("response_code_class") != "1xx"),
        sum(sample.value for sample in classes if sample.labels.get("response_code_class") == "5xx"),
        sum(sample.value for sample in held if sample.name in _RESETS),
        histogram(held, _TIMES),
    )


def of_istiod(text: str) -> Counted:
    """What the metrics of one istiod say."""
    held = samples(text)
    rejects = {s.labels.get("type", ""): s.value for s in held if s.name == "pilot_total_xds_rejects"}
    return Counted(
        rejects={_short(name): value for name, value in sorted(rejects.items())},
        errors=_sum(held, "pilot_total_xds_internal_errors"),
        refused=_sum(held, "sidecar_injection_failure_total"),
        convergence=histogram(held, "pilot_proxy_convergence_time"),
        injects=all(s.value for s in held if s.name == "linnet_injection_config_usable"),
    )


def _sum(held: list[Sample], name: str) -> float:
    return sum(sample.value for sample in held if sample.name == name)


def _short(kind: str) -> str:
    """`LDS` of `lds`, or of a type URL its last word."""
    return kind.rpartition(".")[2] if "." in kind else kind.upper()
