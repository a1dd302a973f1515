"""The cells of a pod: ready containers, status, restarts.

Source: Kubernetes, `printPod`; observed with 1.35.
"""

from typing import Any

from msgspec import Struct

from linnet.local.api import ages

Json = dict[str, Any]


class _State(Struct):
    """What the statuses of containers add up to."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""


def cells(pod: Json) -> list[Any]:
    """READY, STATUS, RESTARTS, AGE, IP, NODE, NOMINATED NODE, READINESS GATES."""
    spec, status = pod["spec"], pod.get("status") or {}
    sidecars = {
        one["name"] for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"
    }
    state = _State(status.get("reason") or status.get("phase") or "Unknown")
    if not _initializing(spec, status, sidecars, state):
        _running(status, state)
    if pod["metadata"].get("deletionTimestamp"):
        state.reason = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    restarts = str(state.restarts)
    if state.restarts and state.last_restart:
        restarts += f" ({ages.since(state.last_restart)} ago)"
    return [
        f"{state.ready}/{len(spec.get('containers') or ()) + len(sidecars)}",
        state.reason,
        restarts,
        ages.since(pod["metadata"].get("creationTimestamp")),
        _address(status),
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        _gates(spec, status),
    ]


def _initializing(spec: Json, status: Json, sidecars: set[str], state: _State) -> bool:
    """Whether an init container is still at work; its state is the pod's."""
    for at, container in enumerate(status.get("initContainerStatuses") or ()):
        _count(container, state)
        now = container.get("state") or {}
        terminated, waiting = now.get("terminated"), now.get("waiting") or {}
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if container["name"] in sidecars and container.get("started"):
            state.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            state.reason = "Init:" + _ended(terminated)
        elif waiting.get("reason") not in (None, "", "PodInitializing"):
            state.reason = "Init:" + waiting["reason"]
        else:
            state.reason = f"Init:{at}/{len(spec.get('initContainers') or ())}"
        return True
    return False


def _running(status: Json, state: _State) -> None:
    state.restarts = state.restarts if status.get("initContainerStatuses") else 0
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        _count(container, state)
        now = container.get("state") or {}
        if (now.get("waiting") or {}).get("reason"):
            state.reason = now["waiting"]["reason"]
        elif now.get("terminated") is not None:
            state.reason = _ended(now["terminated"])
        elif container.get("ready") and "running" in now:
            running = True
            state.ready += 1
    if state.reason == "Completed" and running:
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        state.reason = "Running" if conditions.get("Ready") == "True" else "NotReady"


def _count(container: Json, state: _State) -> None:
    state.restarts += container.get("restartCount", 0)
    ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
    state.last_restart = max(state.last_restart, ended)


def _ended(terminated: Json) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _address(status: Json) -> str:
    listed = status.get("podIPs") or ()
    return (listed[0]["ip"] if listed else status.get("podIP")) or "<none>"


def _gates(spec: Json, status: Json) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return "<none>"
    true = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
    return f"{sum(gate['conditionType'] in true for gate in gates)}/{len(gates)}"
