"""Who may take a lease, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from linnet.kube.lease import free

pytestmark = pytest.mark.unit
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def lease(holder, seconds_ago, duration=15):
    renewed = (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": duration}}


@pytest.mark.parametrize(
    ("held", "may"),
    [
        ({}, True),
        ({"spec": {"holderIdentity": ""}}, True),
        (lease("me", 1), True),
        (lease("other", 1), False),
        (lease("other", 14.9), False),
        (lease("other", 15.1), True),
        (lease("other", 20, duration=60), False),
    ],
)
def test_free(held, may):
    """A lease is free when it is one's own, nobody's, or not renewed for its duration."""
    assert free(held, "me", NOW) is may
