"""One short cycle of the soak at a low rate: nothing fails, no stream is cut before the end of its drain."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak.__main__ import told
from soak.soaking import Plan, soak
from soak.verdict import added

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(500),
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster makes network namespaces: run as root"),
    pytest.mark.skipif(
        not shutil.which("kubectl"),
        reason="needs the real kubectl: install kubernetes-client or google-cloud-cli-kubectl",
    ),
]
PROTOCOLS = {"http1", "http1-new", "http2", "grpc", "grpc-server", "grpc-bidi", "tcp", "websocket"}


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short name: sockets have paths of at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="lt-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_canary_upgrade_loses_nothing(home: Path) -> None:
    """Installed, moved, rolled back, moved again, gateway handed over, uninstalled, in mTLS STRICT."""
    plan = Plan(cycles=1, rate=60.0, grace=8, life=4.0)
    soaked = soak(plan, home / "s", home / "r", print)
    print(told(soaked))
    counts = added(soaked.reports.values())
    assert set(counts) == PROTOCOLS
    assert all(held["requests"] > 0 for held in counts.values())
    assert len(soaked.reports) >= 5  # through the gateway; the callers before, between and after three moves
    assert soaked.silent == []
    assert [one.line for one in soaked.failures if not one.excuse] == []
    assert sum(held["reset"] for held in counts.values()) <= len(soaked.failures)
