"""The status of pods."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.local.node.pods import pod

from linnet.local.node.container_states import ContainerState, Running, State, Terminated, Waiting
from linnet.local.node.spec import Pod
from linnet.local.node.status import Around, pod_phase, pod_status, qos_class

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 25, 1, 2, 3, tzinfo=UTC)
RUNNING, WELL = Running(NOW), Terminated(0, "Completed", NOW, NOW, "id")
BAD, NOT_YET = Terminated(3, "Error", NOW, NOW, "id"), Waiting("ContainerCreating")
AGAIN = Waiting("CrashLoopBackOff")


def states(of: Pod, *given: State, last: Terminated | None = None) -> list[ContainerState]:
    containers = [*((c, True) for c in of.spec.init_containers), *((c, False) for c in of.spec.containers)]
    return [
        ContainerState(
            container, init=init, state=state, last=last, ready=state is RUNNING, started=state is RUNNING
        )
        for (container, init), state in zip(containers, given, strict=True)
    ]


@pytest.mark.parametrize(
    ("policy", "state", "over", "phase"),
    [
        ("Always", NOT_YET, False, "Pending"),
        ("Always", RUNNING, False, "Running"),
        ("Always", WELL, False, "Running"),
        ("Always", BAD, False, "Running"),
        ("Always", WELL, True, "Succeeded"),
        ("Always", BAD, True, "Failed"),
        ("Never", WELL, False, "Succeeded"),
        ("Never", BAD, False, "Failed"),
        ("OnFailure", WELL, False, "Succeeded"),
        ("OnFailure", BAD, False, "Running"),
    ],
)
def test_the_phase_follows_policy_and_ends(policy: str, state: State, over: bool, phase: str) -> None:
    """One container: how each restart policy sees its end, and what a deleted pod ends as."""
    of = pod({"restartPolicy": policy})
    assert pod_phase(of, states(of, state), over=over) == phase


def test_a_container_in_back_off_keeps_the_pod_running() -> None:
    """CrashLoopBackOff is no return to Pending."""
    of = pod()
    assert pod_phase(of, states(of, AGAIN, last=BAD), over=False) == "Running"


INIT = {
    "initContainers": [{"name": "first"}, {"name": "proxy", "restartPolicy": "Always"}],
    "containers": [{"name": "main"}],
}


@pytest.mark.parametrize(
    ("given", "phase", "initialised"),
    [
        ((RUNNING, NOT_YET, NOT_YET), "Pending", "containers with incomplete status: [first proxy]"),
        ((WELL, NOT_YET, NOT_YET), "Pending", "containers with incomplete status: [proxy]"),
        ((WELL, RUNNING, NOT_YET), "Pending", ""),
        ((WELL, RUNNING, RUNNING), "Running", ""),
        ((WELL, BAD, RUNNING), "Running", ""),
        ((WELL, RUNNING, WELL), "Running", ""),
    ],
)
def test_init_containers_come_first(given: tuple[State, ...], phase: str, initialised: str) -> None:
    """A sidecar counts as done when it has started, and may fall over later."""
    of = pod(INIT)
    status = pod_status(of, states(of, *given), Around(NOW, "10.244.0.1"), {}, NOW)
    condition = next(entry for entry in status["conditions"] if entry["type"] == "Initialized")
    assert (status["phase"], condition.get("message", "")) == (phase, initialised)
    assert condition["status"] == ("False" if initialised else "True")


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    """And only that."""
    never, always = pod({**INIT, "restartPolicy": "Never"}), pod(INIT)
    assert pod_phase(never, states(never, BAD, NOT_YET, NOT_YET), over=False) == "Failed"
    assert pod_phase(always, states(always, BAD, NOT_YET, NOT_YET), over=False) == "Pending"


def test_a_running_pod_as_a_kubelet_shows_it() -> None:
    """Compared with the recording 13-node of a kubelet 1.35, field by field."""
    mounts = [
        {
            "name": "kube-api-access-x",
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": True,
        }
    ]
    of = pod({"containers": [{"name": "main", "image": "example.test/app:1", "volumeMounts": mounts}]})
    [state] = states(of, RUNNING)
    state.container_id, state.image_id = "c0", "sha256:00"
    status = pod_status(of, [state], Around(NOW, "10.244.0.1", "10.244.0.9", sandboxed=True), {}, NOW)
    moment = "2026-11-25T01:02:03Z"
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    assert status == {
        "conditions": [
            {
                "lastProbeTime": None,
                "lastTransitionTime": moment,
                "observedGeneration": 1,
                "status": "True",
                "type": kind,
            }
            for kind in kinds
        ],
        "containerStatuses": [
            {
                "containerID": "containerd://c0",
                "image": "example.test/app:1",
                "imageID": "sha256:00",
                "lastState": {},
                "name": "main",
                "ready": True,
                "resources": {},
                "restartCount": 0,
                "started": True,
                "state": {"running": {"startedAt": moment}},
                "volumeMounts": [{**mounts[0], "recursiveReadOnly": "Disabled"}],
            }
        ],
        "hostIP": "10.244.0.1",
        "hostIPs": [{"ip": "10.244.0.1"}],
        "observedGeneration": 1,
        "phase": "Running",
        "podIP": "10.244.0.9",
        "podIPs": [{"ip": "10.244.0.9"}],
        "qosClass": "BestEffort",
        "startTime": moment,
    }


def test_conditions_keep_their_times_and_those_of_others() -> None:
    """A time changes with the value only; a condition that somebody else wrote stays, and gates readiness."""
    foreign = {"type": "example.test/gate", "status": "False"}
    of = pod({"readinessGates": [{"conditionType": "example.test/gate"}]})
    of.raw["status"]["conditions"] = [foreign]
    around = Around(NOW, "10.244.0.1", sandboxed=True)
    first = pod_status(of, states(of, RUNNING), around, {}, NOW)
    assert foreign in first["conditions"]
    ready = first["conditions"][2]
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    later = pod_status(of, states(of, BAD), around, first, NOW + timedelta(minutes=1))
    times = {entry["type"]: entry.get("lastTransitionTime") for entry in later["conditions"]}
    assert times["Initialized"] == times["Ready"] == "2026-11-25T01:02:03Z"
    assert times["ContainersReady"] == "2026-11-25T01:03:03Z"


def test_unready_containers_are_named() -> None:
    """In the order of the pod."""
    of = pod({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
    given = states(of, RUNNING, BAD, RUNNING)
    given[2].ready = False
    ready = pod_status(of, given, Around(NOW, "1"), {}, NOW)["conditions"][2]
    assert (ready["reason"], ready["message"]) == (
        "ContainersNotReady",
        "containers with unready status: [b c]",
    )


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: dict[str, Any], expected: str) -> None:
    """The three classes."""
    assert qos_class(pod({"containers": [{"name": "m", "resources": resources}]})) == expected
