"""The steady load while the guide runs: through the gateway from this machine, and the mesh's own callers.

The clients' reports are the evidence: nobody else counts.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

from demo.background import Background
from demo.client import LoadClient, Report
from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.errors import ApiError
from linnet.kube.kinds import POD
from linnet.kube.watch import Applied, Listed, follow

_TOTAL = re.compile(
    r"^(?P<name>\S+): (?P<requests>\d+) requests in \d+ s, (?P<failed>\d+) failed$", re.MULTILINE
)
_PROGRESS = re.compile(r"^load: \S+: (?P<requests>\d+) requests, (?P<failed>\d+) failed$", re.MULTILINE)


def gateway_load(url: str, *, rate: int = 50, connections: int = 4, fresh: int = 5) -> LoadClient:
    """The load client on this machine, against the gateway's address; rates are requests a second."""
    paces = {"rate": rate, "connections": connections, "new-connections": fresh}
    options = [f"--{name}={pace}" for name, pace in paces.items()]
    return LoadClient("through-the-gateway", [f"--target={url}", *options])


@contextmanager
def caller_logs(config: Config, namespace: str, labels: str) -> Iterator["CallerLogs"]:
    """The logs of the load clients in the mesh, followed meanwhile, pod after pod."""
    logs = CallerLogs(config, namespace, labels)
    with Background(logs.follow):
        yield logs


def speaking(pod: Mapping[str, Any]) -> str:
    """The container beside the proxy, once it runs; empty: not yet."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] != "istio-proxy" and "running" in (status.get("state") or {}):
            return str(status["name"])
    return ""


class CallerLogs:
    """What the load clients with some labels have said."""

    def __init__(self, config: Config, namespace: str, labels: str) -> None:
        self._config, self._namespace, self._labels = config, namespace, labels
        self._logs: dict[str, bytes] = {}

    def reports(self) -> dict[str, Report]:
        """By pod: the final report of a client that ended, the last progress of one that runs."""
        found = {}
        for pod, log in list(self._logs.items()):
            text = log.decode(errors="replace")
            last = [*_PROGRESS.finditer(text), *_TOTAL.finditer(text)]
            if last:
                match = last[-1]
                found[pod] = Report(int(match["requests"]), int(match["failed"]), text)
        return found

    async def follow(self) -> None:
        """Hear them out until cancelled."""
        async with Client(self._config) as client, asyncio.TaskGroup() as tasks:
            pods = follow(client, POD, self._namespace, labels=self._labels)
            async with aclosing(pods) as events:
                async for event in events:
                    found = event.items if isinstance(event, Listed) else []
                    if isinstance(event, Applied):
                        found = [event.object]
                    for pod in found:
                        name = pod["metadata"]["name"]
                        container = speaking(pod)
                        if name not in self._logs and container:
                            self._logs[name] = b""
                            tasks.create_task(self._read(client, name, container))

    async def _read(self, client: Client, pod: str, container: str) -> None:
        path = POD.path(self._namespace, pod, "log")
        try:
            async with aclosing(
                client.stream("GET", path, params={"follow": "true", "container": container})
            ) as chunks:
                async for chunk in chunks:
                    self._logs[pod] += chunk
        except (ApiError, ConnectionError):
            pass  # the pod is gone; what it said before is kept
