"""Events of controllers; the same event again counts up instead of piling up."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from linnet.kube.client import Client
from linnet.kube.errors import NotFound
from linnet.kube.kinds import EVENT

Object = dict[str, Any]
_ACTIONS = {"Scheduled": "Binding"}
_REMEMBERED = 1000  # distinct events whose count is kept


class Recorder:
    """Writes Events about objects in the name of one component.

    With `instance` they have the form of events.k8s.io, as a scheduler writes them: the time is `eventTime`,
    there is no source, and repetitions are a series.
    """

    def __init__(self, client: Client, component: str, *, instance: str = "") -> None:
        self._client, self._component, self._instance = client, component, instance
        self._known: dict[tuple[str, str, str], tuple[str, int]] = {}

    async def record(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Write or count an event. `reason` is CamelCase."""
        meta = about["metadata"]
        namespace = meta.get("namespace") or "default"
        key = (meta["uid"], reason, message)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        known = self._known.pop(key, None)
        if known:
            name, count = known
            try:
                await self._client.patch(EVENT, name, namespace, self._again(count + 1, now))
            except NotFound:
                known = None
            else:
                self._known[key] = (name, count + 1)
                return
        name = f"{meta['name']}.{uuid4().hex[:16]}"
        await self._client.create(
            EVENT, self._event(about, name, namespace, reason, message, now, warning=warning)
        )
        self._known[key] = (name, 1)
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def _again(self, count: int, now: str) -> Object:
        if self._instance:
            return {"series": {"count": count, "lastObservedTime": _precise()}}
        return {"count": count, "lastTimestamp": now}

    def _event(
        self, about: Object, name: str, namespace: str, reason: str, message: str, now: str, *, warning: bool
    ) -> Object:
        meta = about["metadata"]
        involved = {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        }
        if meta.get("namespace"):
            involved["namespace"] = namespace
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "reportingComponent": self._component,
        }
        if self._instance:
            new = {"action": _ACTIONS.get(reason, "Scheduling"), "reportingInstance": self._instance}
            return {**event, **new, "source": {}, "eventTime": _precise()}
        old = {"firstTimestamp": now, "lastTimestamp": now, "count": 1}
        return {**event, **old, "source": {"component": self._component}}


def _precise() -> str:
    """The time in microseconds, as `eventTime` has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
