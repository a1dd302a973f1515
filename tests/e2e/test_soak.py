"""One short cycle of the soak at a low rate: nothing fails, no stream is cut before the end of its drain."""

import pytest
from soak.__main__ import told
from soak.soaking import Plan, soak
from soak.verdict import added
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, short_home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500), NEEDS_ROOT, NEEDS_KUBECTL]
PROTOCOLS = {"http1", "http1-new", "http2", "grpc", "grpc-server", "grpc-bidi", "tcp", "websocket"}


def test_a_canary_upgrade_loses_nothing() -> None:
    """Installed, moved, rolled back, moved again, gateway handed over, uninstalled, in mTLS STRICT."""
    plan = Plan(cycles=1, rate=60.0, grace=8, life=4.0)
    with short_home() as home:
        soaked = soak(plan, home / "s", home / "r", print)
    print(told(soaked))
    counts = added(soaked.reports.values())
    assert set(counts) == PROTOCOLS
    assert all(held["requests"] > 0 for held in counts.values())
    assert len(soaked.reports) >= 5  # through the gateway; the callers before, between and after three moves
    assert soaked.silent == []
    assert [one.line for one in soaked.failures if not one.excuse] == []
    assert sum(held["reset"] for held in counts.values()) <= len(soaked.failures)
