"""The judgement of revisions: each rule, at and below its limit."""

from typing import Any

import pytest

from linnet.upgrade.card import Card, Proxy, Rejection, Standing, Traffic
from linnet.upgrade.exposition import Histogram, histogram, samples
from linnet.upgrade.revisions import Istiod, Revision
from linnet.upgrade.scorecard import Verdict, clearly_more, common, fails, judged
from linnet.upgrade.signals import Counted, Signals, of_envoy, of_istiod

pytestmark = pytest.mark.unit
INF = float("inf")


def revision(name: str, *, ready: int = 1, wanted: int = 1, problems: tuple[str, ...] = ()) -> Revision:
    """A revision with so many istiods; 1-0-0 is the default."""
    return Revision(
        name=name,
        version="1.0",
        default=name == "1-0-0",
        istiods=tuple(Istiod(f"i{n}", "Running", n < ready) for n in range(wanted)),
        wanted=wanted,
        tags=(),
        namespaces=(),
        pods=(),
        proxies=None,
        gateways=(),
        webhooks=(),
        problems=problems,
    )


def times(total: float, milliseconds: float) -> Histogram:
    """So many requests that all took about as long."""
    bounds = (1.0, 10.0, 100.0, 1000.0, INF)
    return Histogram(bounds, tuple(total if bound >= milliseconds else 0.0 for bound in bounds))


def signals(requests: float, failed: float = 0, reset: float = 0, took: float = 5) -> Signals:
    """Requests with their ends."""
    return Signals(requests - reset, failed, reset, times(requests, took))


def card(name: str, *, took: Signals | None = None, **more: Any) -> Card:
    """A card on which all is well, but for what is said."""
    row = more.pop("revision", None) or revision(name)
    workloads = more.pop("workloads", {f"{name}.shop": took or signals(1000)})
    traffic = Traffic(6.0, 1, 1, (), workloads, more.pop("worst", ("", 0.0, 0.0)))
    usual: dict[str, Any] = {
        "proxies": (Proxy("web.shop", False, Standing.SYNCED),),
        "counted": Counted(),
        "grown": Counted(),
    }
    return Card(revision=row, traffic=traffic, **(usual | more))


def bad(*cards: Card) -> list[tuple[str, str, str]]:
    """Revision, subject and verdict of all that is not ok."""
    return [
        (name, finding.about, str(finding))
        for name, found in judged(cards).items()
        for finding in found
        if finding.verdict is not Verdict.OK
    ]


OLD = card("1-0-0")
REJECTS = Proxy("bad.shop", False, Standing.REJECTING, (Rejection("LDS", "x", "no room"),))


@pytest.mark.parametrize(
    ("canary", "found"),
    [
        pytest.param(card("canary"), [], id="well"),
        pytest.param(
            card("canary", revision=revision("canary", problems=("Service x is missing",))),
            [("canary", "control plane", "problem")],
            id="what revision list finds",
        ),
        pytest.param(
            card("canary", revision=revision("canary", ready=1, wanted=2)),
            [("canary", "control plane", "problem")],
            id="an istiod is not ready",
        ),
        pytest.param(
            card("canary", proxies=None, counted=None), [("canary", "control plane", "problem")], id="mute"
        ),
        pytest.param(
            card("canary", counted=Counted(injects=False)),
            [("canary", "control plane", "problem")],
            id="injector",
        ),
        pytest.param(
            card("canary", grown=Counted(refused=1)),
            [("canary", "control plane", "problem")],
            id="pods refused",
        ),
        pytest.param(
            card("canary", proxies=(Proxy("web.shop", False, Standing.STALE),)), [], id="an answer is due"
        ),
        pytest.param(
            card("canary", proxies=(Proxy("web.shop", False, Standing.SILENT),)),
            [("canary", "proxies", "problem")],
            id="no answer",
        ),
        pytest.param(card("canary", lost=("web.shop",)), [("canary", "proxies", "problem")], id="lost"),
        pytest.param(
            card("canary", proxies=(REJECTS,)), [("canary", "configuration", "problem")], id="rejects"
        ),
        pytest.param(
            card("canary", grown=Counted({"LDS": 1})),
            [("canary", "configuration", "problem")],
            id="rejected now",
        ),
        pytest.param(card("canary", counted=Counted({"LDS": 9})), [], id="rejected earlier"),
        pytest.param(card("canary", grown=Counted(errors=2)), [], id="a refused stream or two"),
        pytest.param(
            card("canary", grown=Counted(errors=3)),
            [("canary", "configuration", "problem")],
            id="refused streams",
        ),
    ],
)
def test_each_by_itself(canary: Card, found: list[tuple[str, str, str]]) -> None:
    """What is a problem whatever others do."""
    assert bad(OLD, canary) == found
    assert fails([OLD, canary], judged([OLD, canary])) is bool(found)


WORSE = "worse than 1-0-0"


@pytest.mark.parametrize(
    ("old", "canary", "found"),
    [
        pytest.param(signals(1000), signals(1000, 30), [("failures", WORSE)], id="failures"),
        pytest.param(signals(1000), signals(1000, 4), [], id="below half a point"),
        pytest.param(signals(1000), signals(100, 3), [], id="three may be anything"),
        pytest.param(signals(1000), signals(100, 5), [("failures", WORSE)], id="five of a hundred are not"),
        pytest.param(signals(100), signals(1000, 30), [], id="100 without a failure may be chance"),
        pytest.param(signals(1000), signals(99, 99), [], id="too few"),
        pytest.param(signals(1000, 30), signals(1000, 30), [], id="both fail alike"),
        pytest.param(
            signals(99, 5), signals(1000, 50), [("failures", "problem")], id="nothing to compare with"
        ),
        pytest.param(signals(99, 5), signals(1000, 49), [], id="nothing to compare with, few failures"),
        pytest.param(signals(1000), signals(1000, reset=30), [("resets", WORSE)], id="resets"),
        pytest.param(signals(99), signals(1000, reset=500), [], id="resets alone may be the application's"),
        pytest.param(signals(1000), signals(1000, took=900), [], id="other workloads may be slower"),
    ],
)
def test_requests(old: Signals, canary: Signals, found: list[tuple[str, str]]) -> None:
    """Compared with the default, where both have enough, and not by chance."""
    cards = [card("1-0-0", took=old), card("canary", took=canary)]
    assert bad(*cards) == [("canary", about, verdict) for about, verdict in found]
    assert fails(cards, judged(cards)) is bool(found)


@pytest.mark.parametrize(
    ("there", "here", "requests", "found"),
    [
        pytest.param(5, 500, 1000, [("latency", WORSE)], id="slower"),
        pytest.param(5, 500, 99, [], id="too few"),
        pytest.param(5, 9, 1000, [], id="the same bucket"),
        pytest.param(0.5, 5, 1000, [], id="some milliseconds are no matter"),
    ],
)
def test_latency_of_the_same_workload(
    there: float, here: float, requests: float, found: list[tuple[str, str]]
) -> None:
    """What is on both is compared; what else runs there is not."""
    old = card(
        "1-0-0", workloads={"web.shop": signals(requests, took=there), "slow.shop": signals(9999, took=900)}
    )
    new = card("canary", workloads={"web.shop": signals(requests, took=here)})
    assert bad(old, new) == [("canary", about, verdict) for about, verdict in found]


def test_common_workloads() -> None:
    """Only those that both have with enough requests."""
    mine = card("a", workloads={"w.s": signals(200), "x.s": signals(200), "y.s": signals(200)}).traffic
    other = card("b", workloads={"w.s": signals(300), "x.s": signals(9)}).traffic
    assert [one.requests for one in common(mine, other)] == [200, 300]


def test_convergence_by_its_middle() -> None:
    """Half a second and twice as long, of enough changes."""

    def counted(changes: float, seconds: float) -> Counted:
        bounds = (0.1, 0.5, 3.0, INF)
        return Counted(convergence=Histogram(bounds, tuple(changes if b >= seconds else 0.0 for b in bounds)))

    old = card("1-0-0", counted=counted(20, 0.1))
    assert bad(old, card("canary", counted=counted(20, 3))) == [("canary", "convergence", WORSE)]
    assert bad(old, card("canary", counted=counted(19, 3))) == []
    assert bad(old, card("canary", counted=counted(20, 0.5))) == []


def test_the_default_may_be_the_worse_one() -> None:
    """It is said, and stops nobody who goes on to the better one."""
    cards = [card("1-0-0", took=signals(1000, 30)), card("canary")]
    assert bad(*cards) == [("1-0-0", "failures", "worse than canary")]
    assert not fails(cards, judged(cards))


def test_without_a_default() -> None:
    """Everybody is compared with everybody."""
    cards = [card("a", took=signals(1000, 30)), card("b")]
    assert bad(*cards) == [("a", "failures", "worse than b")]


def test_each_fault_says_what_to_do() -> None:
    """And which proxy."""
    worst = ("web-1.shop", 30.0, 40.0)
    cards = [OLD, card("canary", took=signals(1000, 30), proxies=(REJECTS,), worst=worst)]
    by_subject = {finding.about: finding for finding in judged(cards)["canary"]}
    assert "web-1.shop: 30 of 40" in by_subject["failures"].text
    assert by_subject["failures"].remedy == "kubectl logs -n shop web-1 -c istio-proxy"
    assert "bad.shop (LDS x: no room)" in by_subject["configuration"].text
    assert by_subject["configuration"].remedy == "linnet proxy-status bad.shop"
    (missing, *_) = judged(
        [card("canary", revision=revision("canary", ready=1, wanted=2), namespace="mesh")]
    )["canary"]
    assert missing.remedy == "kubectl get pods -n mesh -l app=istiod,istio.io/rev=canary"


@pytest.mark.parametrize(
    ("share", "of", "base", "of_base", "more"),
    [(1.0, 100, 0.0, 100, True), (0.0, 100, 0.0, 100, False), (1.0, 100, 1.0, 100, False)],
)
def test_all_or_nothing(share: float, of: float, base: float, of_base: float, more: bool) -> None:
    """The ends of the scale are no special case."""
    assert clearly_more(share, of, base, of_base) is more


ENVOY = """\
# TYPE envoy_http_downstream_rq counter
envoy_http_downstream_rq{response_code_class="1xx",http_conn_manager_prefix="inbound_0.0.0.0_8080"} 7
envoy_http_downstream_rq{response_code_class="2xx",http_conn_manager_prefix="inbound_0.0.0.0_8080"} 90
envoy_http_downstream_rq{response_code_class="5xx",http_conn_manager_prefix="inbound_0.0.0.0_8080"} 4
envoy_http_downstream_rq{response_code_class="2xx",http_conn_manager_prefix="inbound_0.0.0.0_8081"} 10
envoy_http_downstream_rq_rx_reset{http_conn_manager_prefix="inbound_0.0.0.0_8080"} 2
envoy_http_downstream_rq_tx_reset{http_conn_manager_prefix="inbound_0.0.0.0_8080"} 1
envoy_http_downstream_rq_time_bucket{http_conn_manager_prefix="inbound_0.0.0.0_8080",le="0.5"} 1
envoy_http_downstream_rq_time_bucket{http_conn_manager_prefix="inbound_0.0.0.0_8080",le="1"} 90
envoy_http_downstream_rq_time_bucket{http_conn_manager_prefix="inbound_0.0.0.0_8080",le="+Inf"} 90
envoy_http_downstream_rq_time_bucket{http_conn_manager_prefix="inbound_0.0.0.0_8081",le="0.5"} 10
envoy_http_downstream_rq_time_bucket{http_conn_manager_prefix="inbound_0.0.0.0_8081",le="1"} 10
envoy_http_downstream_rq_time_bucket{http_conn_manager_prefix="inbound_0.0.0.0_8081",le="+Inf"} 10
"""


def test_what_envoy_says() -> None:
    """All ports together; statuses of 1xx are not answers; an Envoy that keeps no such numbers is none."""
    found = of_envoy(ENVOY)
    assert found is not None
    assert (found.answered, found.failed, found.reset, found.requests) == (104, 4, 3, 107)
    assert found.times == Histogram((0.5, 1.0, INF), (11, 100, 100))
    assert of_envoy("envoy_server_live{} 1\n") is None
    assert found.since(found).requests == 0
    assert Signals(answered=3).since(found).answered == 3, "it started anew"


def test_what_istiod_says() -> None:
    """Rejections by type; a configuration that cannot inject."""
    text = 'pilot_total_xds_rejects{type="lds"} 2\npilot_total_xds_internal_errors 1\n'
    text += 'linnet_injection_config_usable 0\npilot_proxy_convergence_time_bucket{le="+Inf"} 3\n'
    found = of_istiod(text)
    assert (found.rejects, found.rejected, found.errors, found.injects) == ({"LDS": 2}, 2, 1, False)
    assert found.convergence.total == 3
    assert of_istiod("").injects
    both = found.plus(
        of_istiod('pilot_total_xds_rejects{type="lds"} 1\npilot_total_xds_rejects{type="cds"} 1\n')
    )
    assert both.rejects == {"CDS": 1, "LDS": 3}


def test_the_text_format() -> None:
    """Escapes, times of samples, infinity; what is no sample is left out."""
    found = samples('a{x="q\\"\\\\\\n,}",y=""} 1 1700000000\n# b 1\nc +Inf\n\nd{ 1\ne x\nf 2e3\n')
    assert [(one.name, one.value) for one in found] == [("a", 1), ("c", INF), ("f", 2000)]
    assert found[0].labels == {"x": 'q"\\\n,}', "y": ""}


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 0.0), (0.25, 4.0), (0.625, 10.0), (0.78125, 15.0), (0.9375, 20.0), (1.0, 20.0)]
)
def test_percentiles(share: float, value: float) -> None:
    """Interpolated within a bucket; beyond the last bound it is that bound."""
    assert Histogram((10.0, 20.0, INF), (100.0, 150.0, 160.0)).percentile(share) == value


def test_a_histogram_without_values() -> None:
    """Has no percentiles."""
    assert histogram([], "x").percentile(0.5) is None
    assert Histogram((1.0, INF), (0.0, 0.0)).percentile(0.5) is None
