"""What the API shows of a pod on this node (pure): from the states of its containers to `status`.

Source: Kubernetes API reference, PodStatus; "Pod Lifecycle"; a recording of a kubelet 1.35.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from linnet.local.node.clock import stamp
from linnet.local.node.container_spec import Container, is_sidecar
from linnet.local.node.container_states import ContainerState, Running, State, Terminated, Waiting
from linnet.local.node.spec import Ephemeral, Object, Pod

RUNTIME = "containerd"  # the scheme of container IDs; tools take them apart at ://
_OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
NO_EPHEMERAL = "ephemeral containers are not offered by the local cluster: use kubectl exec into a container"


class Around(Struct, frozen=True):
    """What a status says beside the containers."""

    started_at: datetime
    node_ip: str
    ip: str = ""
    sandboxed: bool = False  # whether the pod's sandbox is up
    over: bool = False  # whether no container will be started any more
    reason: str = ""
    message: str = ""


def pod_status(
    pod: Pod, states: Sequence[ContainerState], around: Around, previous: Object, now: datetime
) -> Object:
    """The status of a pod. `previous` is the last one: conditions that did not change keep their times.

    Conditions that others wrote are kept as the pod itself has them.
    """
    phase = pod_phase(pod, states, over=around.over)
    status: Object = {
        "observedGeneration": pod.metadata.generation,
        "phase": phase,
        "conditions": _conditions(pod, states, around, _by_type(previous), now),
        "hostIP": around.node_ip,
        "hostIPs": [{"ip": around.node_ip}],
        "startTime": stamp(around.started_at),
        "qosClass": previous.get("qosClass") or qos_class(pod),
    }
    if around.ip:
        status |= {"podIP": around.ip, "podIPs": [{"ip": around.ip}]}
    for key in ("reason", "message"):
        if getattr(around, key) or previous.get(key):
            status[key] = getattr(around, key) or None
    init = [container_status(state) for state in states if state.init]
    main = [container_status(state) for state in states if not state.init]
    if init:
        status["initContainerStatuses"] = init
    status["containerStatuses"] = sorted(main, key=lambda entry: entry["name"])
    if refused := [_refused(container) for container in pod.spec.ephemeral_containers]:
        status["ephemeralContainerStatuses"] = refused
    return status


def _refused(container: Ephemeral) -> Object:
    """An ephemeral container as one that could not be started: who waits for it learns why."""
    return {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": {"exitCode": 128, "reason": "StartError", "message": NO_EPHEMERAL}},
    }


def pod_phase(pod: Pod, states: Sequence[ContainerState], *, over: bool) -> str:
    """Pending, Running, Succeeded or Failed."""
    never = pod.spec.restart_policy == "Never"
    for state in states:
        if not state.init or is_sidecar(state.spec):
            continue
        if isinstance(state.state, Terminated) and state.state.exit_code != 0 and (never or over):
            return "Failed"
    if not over and not initialised(states):
        return "Pending"
    main = [state for state in states if not state.init]
    if any(isinstance(state.state, Waiting) and state.last is None for state in main):
        return "Failed" if over else "Pending"
    staying = [state for state in states if not state.init or is_sidecar(state.spec)]
    if any(isinstance(state.state, Running) for state in staying):
        return "Running"
    ends = [state.state if isinstance(state.state, Terminated) else state.last for state in main]
    succeeded = all(end is not None and end.exit_code == 0 for end in ends)
    if not over and pod.spec.restart_policy == "Always":
        return "Running"
    if succeeded:
        return "Succeeded"
    return "Failed" if over or never else "Running"


def initialised(states: Sequence[ContainerState]) -> bool:
    """Whether all init containers have done their work, and sidecars have started."""
    return not _incomplete(states)


def _incomplete(states: Sequence[ContainerState]) -> list[str]:
    main_ran = any(not state.init and not isinstance(state.state, Waiting) for state in states)
    return [
        state.spec.name
        for state in states
        if state.init and not (state.started if is_sidecar(state.spec) else state.succeeded) and not main_ran
    ]


def _by_type(status: Object) -> dict[str, Object]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _conditions(
    pod: Pod,
    states: Sequence[ContainerState],
    around: Around,
    previous: Mapping[str, Object],
    now: datetime,
) -> list[Object]:
    phase = pod_phase(pod, states, over=around.over)
    foreign = _by_type(pod.raw.get("status") or {})
    verdicts = {
        "PodReadyToStartContainers": ("True" if around.sandboxed else "False", "", ""),
        "Initialized": _initialised(states, phase),
        "Ready": _ready(pod, states, phase, foreign),
        "ContainersReady": _containers_ready(states, phase),
        "PodScheduled": ("True", "", ""),
    }
    found = []
    for kind in _OURS:
        value, reason, message = verdicts[kind]
        old = previous.get(kind, {})
        same = old.get("status") == value and old.get("lastTransitionTime")
        condition: Object = {
            "type": kind,
            "status": value,
            "observedGeneration": pod.metadata.generation,
            "lastProbeTime": None,
            "lastTransitionTime": old["lastTransitionTime"] if same else stamp(now),
        }
        if reason:
            condition |= {"reason": reason, "message": message} if message else {"reason": reason}
        found.append(condition)
    return found + [condition for kind, condition in foreign.items() if kind not in _OURS]


def _initialised(states: Sequence[ContainerState], phase: str) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "True", "PodCompleted", ""
    missing = _incomplete(states)
    if missing:
        return (
            "False",
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(missing)}]",
        )
    return "True", "", ""


def _containers_ready(states: Sequence[ContainerState], phase: str) -> tuple[str, str, str]:
    if phase == "Succeeded":
        return "False", "PodCompleted", ""
    if phase == "Failed":
        return "False", "PodFailed", ""
    counted = [state for state in states if not state.init or is_sidecar(state.spec)]
    unready = [state.spec.name for state in counted if not state.ready]
    if unready:
        return "False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return "True", "", ""


def _ready(
    pod: Pod, states: Sequence[ContainerState], phase: str, conditions: Mapping[str, Object]
) -> tuple[str, str, str]:
    verdict = _containers_ready(states, phase)
    if verdict[0] != "True":
        return verdict
    problems = []
    for gate in pod.spec.readiness_gates:
        kind = gate.condition_type
        if kind not in conditions:
            problems.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif conditions[kind]["status"] != "True":
            problems.append(
                f'the status of pod readiness gate "{kind}" is not "True", but {conditions[kind]["status"]}'
            )
    return ("False", "ReadinessGatesNotReady", ", ".join(problems)) if problems else verdict


def container_status(state: ContainerState) -> Object:
    """The entry of a container in `containerStatuses`."""
    spec = state.spec
    entry: Object = {
        "name": spec.name,
        "image": spec.image,
        "imageID": state.image_id,
        "ready": state.succeeded if state.init and not is_sidecar(spec) else state.ready,
        "started": state.started,
        "restartCount": state.restarts,
        "state": _state(state.state),
        "lastState": _state(state.last) if state.last else {},
    }
    if state.container_id:
        entry["containerID"] = f"{RUNTIME}://{state.container_id}"
        entry["resources"] = {
            key: dict(value)
            for key, value in (("limits", spec.resources.limits), ("requests", spec.resources.requests))
            if value
        }
        if spec.resources.requests:
            entry["allocatedResources"] = dict(spec.resources.requests)
    if spec.volume_mounts:
        entry["volumeMounts"] = list(_mounts(spec))
    return entry


def _mounts(container: Container) -> Iterable[Object]:
    for mount in container.volume_mounts:
        seen: Object = {"name": mount.name, "mountPath": mount.mount_path}
        yield seen | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.read_only else {})


def _state(state: State) -> Object:
    match state:
        case Waiting(reason=reason, message=message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(started_at=started_at):
            return {"running": {"startedAt": stamp(started_at)}}
        case Terminated():
            return {"terminated": _terminated(state)}


def _terminated(state: Terminated) -> Object:
    seen: Object = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": stamp(state.started_at) if state.started_at else None,
        "finishedAt": stamp(state.finished_at),
    }
    if state.container_id:
        seen["containerID"] = f"{RUNTIME}://{state.container_id}"
    if state.message:
        seen["message"] = state.message
    return seen


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort. Source: Kubernetes, "Pod Quality of Service Classes"."""
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    if not any(container.resources.limits or container.resources.requests for container in containers):
        return "BestEffort"
    for container in containers:
        limits, requests = container.resources.limits, container.resources.requests
        for name in ("cpu", "memory"):
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                return "Burstable"
    return "Guaranteed"
