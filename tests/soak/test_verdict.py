"""What the soak makes of the load clients' reports: what is excused, and what is not."""

from datetime import UTC, datetime, timedelta

import pytest
from soak.faults import Fault
from soak.verdict import GATEWAY, added, judged, table
from soak.watching import Life, Words

from linnet.local.workloads.aims import PROTOCOLS, Pace, aim
from soak import shares

pytestmark = pytest.mark.unit
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def failure(at: float, *, protocol: str = "tcp", pod: str = "web-1", after_ms: int = 0, detail: str = "cut"):
    return {
        "began": after(at).isoformat(timespec="milliseconds"),
        "at": after(at + after_ms / 1000).isoformat(timespec="milliseconds"),
        "after_ms": after_ms,
        "protocol": protocol,
        "target": "tcp://web:9090",
        "kind": "broken",
        "detail": detail,
        "pod": pod,
    }


def excuse(client: str, one, lives=None, faults=()) -> str:
    (found,) = judged({client: {"failures": [one]}}, lives or {}, faults)
    return found.excuse


def life(app: str, *, grace: float = 15, told: float | None = 0, gone: float | None = None) -> Life:
    return Life(app, grace, after(-60), True, *(None if at is None else after(at) for at in (told, gone)))


@pytest.mark.parametrize(
    ("at", "excused"), [(2, False), (8, False), (9.5, True), (12, True), (17, True), (25, False)]
)
def test_a_stream_may_break_only_at_the_end_of_its_pods_drain(at, excused):
    """A pod with 15 s of grace drains 10 s; it was gone after 16."""
    lives = {"web-1": life("web", gone=16)}
    assert bool(excuse("caller-1", failure(at), lives)) is excused


def test_a_stream_of_another_pod_may_not():
    """Neither that of a pod which was not told, nor one that goes through no such pod."""
    lives = {"web-1": life("web", told=None), "web-2": life("web")}
    assert excuse("caller-1", failure(12), lives) == ""
    assert excuse("caller-1", failure(12, pod="web-3"), lives) == ""


def test_requests_are_never_excused_by_a_drain():
    """Nor is a stream that could not be opened: there are other pods."""
    lives = {"web-1": life("web")}
    assert excuse("caller-1", failure(12, protocol="http1"), lives) == ""
    assert excuse("caller-1", failure(12, detail="refused, while it opened"), lives) == ""


def test_the_gateway_is_on_the_way_of_who_comes_through_it():
    """Envoy closes WebSockets in the last third of a gateway's drain; callers in the mesh do not pass it."""
    lives = {"istio-ingressgateway-1": life("istio-ingressgateway", grace=30, gone=29)}
    assert excuse(GATEWAY, failure(21, protocol="websocket"), lives)
    assert excuse(GATEWAY, failure(15, protocol="websocket"), lives) == ""
    assert excuse("caller-1", failure(21), lives) == ""


@pytest.mark.parametrize(
    ("kind", "one", "excused"),
    [
        ("envoy", failure(-0.5, after_ms=700, protocol="http1"), True),
        ("envoy", failure(1.5, protocol="http1"), False),  # it began after the kill
        ("envoy", failure(-1.5, after_ms=200, protocol="http1"), False),  # it was over before
        ("envoy", failure(-0.5, after_ms=700, pod="web-2"), False),
        (
            "envoy",
            failure(-0.5, after_ms=8000),
            False,
        ),  # it lived on for seconds: another way, another reason
        ("istiod", failure(-0.5, after_ms=700), False),
        ("api server", failure(1), False),
        ("node", failure(10, pod="web-2"), True),
        ("node", failure(22), False),
        ("envoy", failure(-0.5, after_ms=700, pod=""), True),
    ],
)
def test_only_what_was_in_flight_to_the_killed_may_fail(kind, one, excused):
    """istiod and the API server carry no requests; with the node everything goes until it is back."""
    until = 20 if kind in ("node", "api server") else 0
    fault = Fault(kind, NOON, after(until), "web-1" if kind == "envoy" else "")
    assert bool(excuse("caller-1", one, faults=[fault])) is excused


def test_counts_add_up_and_are_shown():
    """By protocol and in sum."""
    counts = {"requests": 10, "failed": 1, "opened": 3, "told": 1, "by_us": 1, "reset": 1}
    total = added([{"protocols": {"tcp": counts}}, {"protocols": {"tcp": counts, "grpc": counts}}])
    assert total["tcp"]["requests"] == 20
    lines = table(total).splitlines()
    assert lines[0].split("  ")[0] == "protocol"
    assert "by us" in lines[0]
    assert lines[-1].split() == ["all", "30", "3", "9", "3", "3", "3"]


@pytest.mark.parametrize("door", [shares.inside(), shares.outside("127.0.80.1")])
def test_a_rate_is_shared_out_over_all_protocols(door):
    """The parts add up to the whole, and there is a target for each protocol."""
    aims = [aim(text.removeprefix("--target="), Pace()) for text in shares.targets(door, 250, life=0)]
    assert {one.protocol for one in aims} == set(PROTOCOLS.values())
    rates = [one.pace.streams / one.pace.every if one.long else one.pace.rate + one.pace.new for one in aims]
    assert sum(rates) == pytest.approx(250, rel=0.01)


def test_a_report_is_found_in_a_log():
    """The last thing that a caller says; a log without it holds none."""
    words = Words(text=b'load: caller: 10 requests, 0 failed\n{\n "requests": 10\n}\n')
    assert words.report() == {"requests": 10}
    assert Words(text=b'load: caller: 10 requests, 0 failed\n{\n "requests"').report() is None
