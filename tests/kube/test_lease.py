"""Who may take a lock, when, and what the object says."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from linnet.kube import locks
from linnet.kube.kinds import CONFIG_MAP, LEASE
from linnet.kube.lease import Claimant, taken
from linnet.kube.locks import Lock, Record, stamp

pytestmark = pytest.mark.unit
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(holder, seconds_ago, duration=15, key="1-0-0"):
    return Record(holder, key, duration, stamp(NOW - timedelta(seconds=seconds_ago), LEASE))


@pytest.mark.parametrize(
    ("held", "is_taken"),
    [
        (Record(), False),
        (record("", 1), False),
        (record("me", 1), False),
        (record("other", 1), True),
        (record("other", 14.9), True),
        (record("other", 15.1), False),
        (record("other", 20, duration=60), True),
    ],
)
def test_taken(held, is_taken):
    """A lock is free when it is one's own, nobody's, or not renewed for its duration."""
    assert taken(held, Claimant("me"), NOW) is is_taken


def test_the_better_claim():
    """Who prevails takes a lock that is held, but only from whom it prevails over."""
    default = Claimant("me", "canary", lambda key: key != "canary")
    assert not taken(record("other", 1, key="1-0-0"), default, NOW)
    assert taken(record("replica", 1, key="canary"), default, NOW)


@pytest.mark.parametrize("kind", [LEASE, CONFIG_MAP])
def test_what_is_written_is_read(kind):
    """Both kinds of objects carry the record; what else they hold stays."""
    lock = Lock("istio-system", "l", kind)
    at = stamp(NOW, kind)
    held = Record("istiod-1", "canary", 15, at, at, 3)
    obj = locks.written({"metadata": {"resourceVersion": "7", "annotations": {"a": "b"}}}, lock, held)
    assert obj["metadata"]["resourceVersion"] == "7"
    assert obj["metadata"]["annotations"]["a"] == "b"
    assert (obj["kind"], obj["metadata"]["name"]) == (kind.name, "l")
    assert locks.read(obj, lock, 1) == held
    free = locks.read(locks.written(obj, lock, Record()), lock, 1)
    assert (free.holder, free.renewed) == ("", "")


def test_the_records_are_those_that_others_write():
    """A Lease and a ConfigMap as Istio's istiod leaves them."""
    lease = {
        "metadata": {"annotations": {"leader.istio.io/holder-key": "default"}},
        "spec": {
            "holderIdentity": "istiod-5c",
            "leaseDurationSeconds": 30,
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 2,
        },
    }
    told = {
        "holderIdentity": "istiod-5c",
        "holderKey": "default",
        "leaseDurationSeconds": 30,
        "acquireTime": None,
        "renewTime": "2026-01-01T00:00:00Z",
        "leaderTransitions": 2,
    }
    config_map = {"metadata": {"annotations": {locks.LEADER: json.dumps(told)}}}
    for obj, kind in ((lease, LEASE), (config_map, CONFIG_MAP)):
        held = locks.read(obj, Lock("n", "l", kind), 15)
        assert (held.holder, held.key, held.duration, held.transitions) == ("istiod-5c", "default", 30, 2)
        assert taken(held, Claimant("me"), NOW + timedelta(seconds=29))
    broken = {"metadata": {"annotations": {locks.LEADER: "{"}}}
    assert not taken(locks.read(broken, Lock("n", "l", CONFIG_MAP), 15), Claimant("me"), NOW)
