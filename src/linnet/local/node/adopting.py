"""Take over containers that an earlier run of this node, or an earlier sandbox, left behind (pure)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from linnet.local.node.clock import parse
from linnet.local.node.container_states import ContainerState, Running, Terminated, Waiting

_LOST = 137  # exit code of what ended unseen, with its sandbox or with the node


def reported(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The entries of a pod's status about its containers, by name."""
    entries = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return {entry["name"]: entry for entry in entries}


def adopt(state: ContainerState, entry: Mapping[str, Any] | None, now: datetime, *, over: bool) -> None:
    """Make a state that of a container which does not run; `over`: nor will any of its pod again.

    A state that knows nothing of its own yet is restored from the entry in the pod's status.
    """
    if isinstance(state.state, Waiting) and state.last is None and entry is not None:
        _restore(state, entry)
    if isinstance(state.state, Running):
        state.state = Terminated(_LOST, "Error", now, state.state.started_at, state.container_id)
    state.ready = state.started = False
    if state.init and not over and isinstance(state.state, Terminated):
        state.last, state.state = state.state, Waiting("PodInitializing")


def _restore(state: ContainerState, entry: Mapping[str, Any]) -> None:
    """Take restart count and last end from the status that the API has."""
    state.restarts = int(entry.get("restartCount", 0))
    state.container_id = str(entry.get("containerID", "")).rpartition("://")[2]
    state.image_id = entry.get("imageID", "")
    state.last = _ended(entry.get("lastState") or {})
    ended = _ended(entry.get("state") or {})
    running = (entry.get("state") or {}).get("running")
    if ended:
        state.state = ended
    elif running:
        state.state = Running(parse(running["startedAt"]))


def _ended(entry: Mapping[str, Any]) -> Terminated | None:
    """The end of an instance as a status entry (`state` or `lastState`) tells it; None: it had not ended."""
    ended = entry.get("terminated")
    if not ended:
        return None
    started = ended.get("startedAt")
    return Terminated(
        exit_code=int(ended.get("exitCode", 0)),
        reason=ended.get("reason", ""),
        finished_at=parse(ended["finishedAt"]),
        started_at=parse(started) if started else None,
        container_id=str(ended.get("containerID", "")).rpartition("://")[2],
        message=ended.get("message", ""),
    )
