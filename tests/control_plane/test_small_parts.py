"""Debounce, metrics, paths, status conditions: the small parts of istiod."""

import asyncio
import json

import pytest
import structlog

from linnet.control_plane import http, logs, status
from linnet.control_plane.logs import level_of
from linnet.control_plane.metrics import Metrics
from linnet.control_plane.settle import Changes
from linnet.model.problem import Problem, Ref

pytestmark = pytest.mark.unit

QUIET = {"quiet": 0.1, "urgent_quiet": 0.02, "limit": 0.5}


async def settled(script: list[tuple[float, bool]]) -> float:
    """Seconds until `settle` returns when changes come at these times."""
    loop = asyncio.get_running_loop()
    changes, start = Changes(loop.time), loop.time()
    for at, urgent in script:
        loop.call_at(start + at, lambda urgent=urgent: changes.note(urgent=urgent))
    await changes.settle(**QUIET)
    return loop.time() - start


async def test_a_burst_is_one_push() -> None:
    """Changes 50 ms apart wait for 100 ms of quiet."""
    assert 0.2 <= await settled([(0, False), (0.05, False), (0.1, False)]) < 0.3


async def test_endpoints_go_sooner() -> None:
    """Changes of endpoints alone wait 20 ms."""
    assert await settled([(0, True)]) < 0.09


async def test_endpoints_beside_others_wait() -> None:
    """Together with another change they wait like it."""
    assert 0.1 <= await settled([(0, False), (0.005, True)]) < 0.2


async def test_a_stream_of_changes_has_a_limit() -> None:
    """Without a pause the limit counts."""
    assert 0.5 <= await settled([(n * 0.05, False) for n in range(20)]) < 0.6


def test_exposition() -> None:
    """Counters, histograms and gauges as Prometheus reads them."""
    metrics = Metrics()
    metrics.pushes.add("eds")
    metrics.pushes.add("eds")
    metrics.debounce.observe(0.2)
    metrics.gauge("pilot_xds", "Proxies.", lambda: [({"version": 'a"b'}, 3)])
    lines = metrics.exposition().splitlines()
    assert "# TYPE pilot_xds_pushes counter" in lines
    assert 'pilot_xds_pushes{type="eds"} 2' in lines
    assert 'pilot_xds{version="a\\"b"} 3' in lines
    assert 'pilot_debounce_time_bucket{le="0.1"} 0' in lines
    assert 'pilot_debounce_time_bucket{le="0.5"} 1' in lines
    assert 'pilot_debounce_time_bucket{le="+Inf"} 1' in lines
    assert "pilot_debounce_time_count 1" in lines
    assert not any("galley" in line for line in lines)  # never recorded: no sample


def test_paths() -> None:
    """Exact paths, prefixes that end with a slash, and doubled slashes."""
    routes = {"/inject": "exact", "/inject/": "below", "/version": "version"}
    assert http.find(routes, "/inject") == "exact"
    assert http.find(routes, "/inject/net/a") == "below"
    assert http.find(routes, http.clean("//version")) == "version"
    assert http.find(routes, "/injected") is None


@pytest.mark.parametrize(
    ("text", "level"), [("default:info", 20), ("all:debug", 10), ("xds:debug,default:warn", 30), ("x", 20)]
)
def test_log_levels(text: str, level: int) -> None:
    """Istio's scopes: that of `default` counts."""
    assert level_of(text) == level


ABOUT = Ref("Sidecar", "shop", "web")
LATER = "2026-11-25T03:00:00Z"


def problem(reason: str = "FieldNotHonoured") -> Problem:
    """A problem of an object."""
    return Problem(ABOUT, reason, "spec.x", "is accepted but has no effect yet")


def test_condition_of_a_field_without_effect() -> None:
    """Named with its path; conditions of others stay."""
    other = {"type": "Reconciled", "status": "True"}
    found = status.conditions([other], (problem(),), now=LATER)
    assert found == [
        other,
        {
            "type": "linnet.io/Honoured",
            "status": "False",
            "reason": "FieldNotHonoured",
            "message": "spec.x: is accepted but has no effect yet",
            "lastTransitionTime": LATER,
        },
    ]
    assert status.conditions(found, (problem(),), now="later") is None, "nothing new: no write"


def test_condition_is_withdrawn() -> None:
    """What was mended says so once; what never had a problem gets no condition."""
    held = status.conditions([], (problem(),), now=LATER)
    assert held is not None
    mended = status.conditions(held, (), now="now")
    assert mended is not None
    assert (mended[0]["status"], mended[0]["lastTransitionTime"]) == ("True", "now")
    assert status.conditions(mended, (), now="later") is None
    assert status.conditions([], (), now="later") is None


def test_the_worst_reason_counts() -> None:
    """Invalid before FieldNotHonoured; both are told."""
    found = status.conditions([], (problem(), problem("Invalid")), now=LATER)
    assert found is not None
    assert found[0]["reason"] == "Invalid"


@pytest.fixture
def as_before():
    """The log is as before afterwards."""
    before, configured = logs.level(), structlog.get_config()
    yield
    logs.set_level(before)
    structlog.configure(**configured)


@pytest.mark.usefixtures("as_before")
def test_the_level_of_the_log_changes_while_it_is_written(capsys) -> None:
    """Also for loggers that were used before."""
    logs.configure("default:warn", as_json=True)
    log = structlog.get_logger("some.module")
    log.info("one")
    log.warning("two")
    assert logs.set_level("debug")
    log.debug("three")
    assert logs.set_level("none")
    log.error("four")
    assert not logs.set_level("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["two", "three"]
