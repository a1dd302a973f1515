"""Tables: the columns of Kubernetes, filled."""

from datetime import UTC, datetime

import pytest

from linnet.local.api import ages, cells, registry, table

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (599, "9m59s"),
        (600, "10m"),
        (10_800, "3h"),
        (26_000, "7h13m"),
        (40_000, "11h"),
        (200_000, "2d7h"),
        (3_000_000, "34d"),
        (70_000_000, "2y80d"),
        (-1, "0s"),
        (-5, "<invalid>"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Short and human, as kubectl shows them."""
    assert ages.duration(seconds) == text


def test_every_row_fills_its_columns() -> None:
    """Each resource's cells are as many as its columns."""
    metadata = {"name": "x", "namespace": "y", "creationTimestamp": "2026-01-01T00:00:00Z"}
    least = {
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d"},
            "containers": [],
            "selector": {},
            "template": {"spec": {"containers": []}},
        },
        "roleRef": {"kind": "Role", "name": "r"},
    }
    served = registry.builtin().resources.values()
    checked = 0
    for resource in served:
        if "list" not in resource.verbs:
            continue
        made = table.of(resource, [least], {}, "None", "v1")
        assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"]), resource.name
        checked += 1
    assert checked > 50
    assert set(cells.OF) <= {resource.name for resource in served}


def test_a_pod_that_fails() -> None:
    """A waiting container's reason is the pod's status; restarts say when the last one was."""
    ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    pod = {
        "metadata": {"name": "p", "creationTimestamp": ended},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "podIP": "10.244.0.2",
            "containerStatuses": [
                {"name": "a", "ready": True, "restartCount": 0, "state": {"running": {}}},
                {
                    "name": "b",
                    "ready": False,
                    "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 1, "finishedAt": ended}},
                },
            ],
        },
    }
    shown = cells.OF["pods"](pod)
    assert shown[:2] == ["1/2", "CrashLoopBackOff"]
    assert shown[2].startswith("3 (")
    assert shown[4:6] == ["10.244.0.2", "node-1"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.size", [3]),
        (".spec.hosts[*]", ["a", "b"]),
        (".spec.hosts[1]", ["b"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".metadata.labels['example.com/x']", ["y"]),
        (".metadata.labels.example\\.com/x", ["y"]),
        (".spec.nothing", []),
    ],
)
def test_json_paths(path: str, found: list[object]) -> None:
    """The JSONPath of printer columns."""
    obj = {
        "metadata": {"labels": {"example.com/x": "y"}},
        "spec": {"size": 3, "hosts": ["a", "b"]},
        "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
    }
    assert list(table.at_path(path, obj)) == found
