"""What two readings of istiods and Envoys say about proxies."""

from typing import Any

import pytest

from linnet.cli.proxy_status import TYPES
from linnet.cli.revision_readings import (
    Round,
    grown,
    proxies,
    rejections,
    sampled,
    standing,
    traffic,
    workload_of,
)
from linnet.upgrade.card import Rejection, Standing
from linnet.upgrade.signals import Counted, Signals

pytestmark = pytest.mark.unit
LDS = next(url for short, _, url in TYPES if short == "LDS")
Row = dict[str, Any]


def row(**more: Any) -> Row:
    """A proxy that has acknowledged everything, but for what is said."""
    usual = {"cluster_sent": "1", "cluster_acked": "1", "listener_sent": "2", "listener_acked": "2"}
    return {"proxy_type": "sidecar"} | usual | more


BEHIND = row(listener_sent="3")


@pytest.mark.parametrize(
    ("before", "now", "stands"),
    [
        pytest.param(row(), row(), Standing.SYNCED, id="well"),
        pytest.param(None, row(), Standing.SYNCED, id="new"),
        pytest.param(row(), BEHIND, Standing.STALE, id="just sent"),
        pytest.param(
            row(listener_sent="4"), row(listener_sent="5", listener_acked="4"), Standing.STALE, id="busy"
        ),
        pytest.param(BEHIND, BEHIND, Standing.SILENT, id="no answer at both"),
        pytest.param(None, row(listener_sent="", listener_acked=""), Standing.STALE, id="just connected"),
        pytest.param(
            row(), row(resources={LDS: {"lastError": "no\n room"}}), Standing.REJECTING, id="rejects"
        ),
    ],
)
def test_standing(before: Row | None, now: Row, stands: Standing) -> None:
    """An answer that is due once is stale, the same one at both readings is not given."""
    assert standing(before, now) is stands


def test_what_is_rejected() -> None:
    """By resource where that is known, on one line."""
    named = {
        LDS: {"lastError": "b", "rejected": {"x": "no\n  room"}},
        "type.googleapis.com/a.B": {"lastError": "c\n"},
    }
    assert rejections(row(resources=named)) == (Rejection("LDS", "x", "no room"), Rejection("B", "", "c"))
    [found] = proxies({}, {"p.s": row(resources=named, proxy_type="router")})
    assert (found.name, found.gateway, found.standing) == ("p.s", True, Standing.REJECTING)


def test_a_sample() -> None:
    """Gateways first, then some of each namespace; the same again the next time."""
    rows = {f"p{n}.{space}": row() for space in "ab" for n in range(10)} | {"g.z": row(proxy_type="router")}
    assert set(sampled(rows, 0)) == set(rows)
    assert set(sampled(rows, 21)) == set(rows)
    some = sampled(rows, 5)
    assert (len(set(some)), some[0]) == (5, "g.z")
    assert {name[-1] for name in some[1:]} == {"a", "b"}
    assert some == sampled(rows, 5)
    assert sampled(rows, 1) == ("g.z",)


def test_traffic_between_two_rounds() -> None:
    """By workload; who started between them counts from its start; who did not answer is named."""
    first = Round(10.0, {"a.s": Signals(100, 5), "new.s": None, "quiet.s": None}, {"mute.s": "no answer"})
    second = Round(
        16.0, {"a.s": Signals(160, 8), "new.s": Signals(7), "quiet.s": None, "mute.s": Signals(9)}, {}
    )
    pods = {
        "a.s": {"metadata": {"labels": {"app": "web"}}},
        "new.s": {"metadata": {"labels": {"app": "web"}}},
    }
    found = traffic(("a.s", "new.s", "quiet.s", "mute.s"), first, second, pods)
    assert (found.seconds, found.asked, found.counting) == (6.0, 4, 2)
    assert found.workloads == {"web.s": Signals(67, 3)}
    assert found.worst == ("a.s", 3, 60)
    assert found.faults == ("mute.s: no answer",)


def test_what_grew() -> None:
    """Nothing is known of an istiod that is new; one that started anew has no negative numbers."""
    before, after = Counted({"LDS": 5}, errors=4), Counted({"LDS": 7, "CDS": 1}, errors=1)
    found = grown(before, after)
    assert (found.rejects, found.errors) == ({"LDS": 2, "CDS": 1}, 0)
    assert grown(None, after) == grown(before, None) == Counted()


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"app": "web", "version": "v2"}, "web.s"),
        ({"service.istio.io/canonical-name": "shop", "app": "web"}, "shop.s"),
        ({}, "rs-1.s"),
    ],
)
def test_workloads(labels: dict[str, str], name: str) -> None:
    """Whatever the version of a workload: two revisions may run the same in two."""
    assert workload_of("p.s", {"metadata": {"labels": labels, "ownerReferences": [{"name": "rs-1"}]}}) == name
    assert workload_of("p.s", None) == "p.s"
