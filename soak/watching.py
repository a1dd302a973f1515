"""What happens to pods while the load runs, and what the callers among them say at their end.

An API server that goes away is waited for.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from demo.background import Background
from msgspec import Struct, field

from linnet.kube.client import Client
from linnet.kube.config import Config
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import POD
from linnet.kube.watch import Applied, Deleted, Listed, follow

CALLER = "caller"
_AGAIN = 0.5  # seconds between attempts to read a log
_PATIENCE = 60.0  # seconds for the last words of the last callers


class Life(Struct):
    """One pod: when it was told to end, how long it had, when it was gone."""

    app: str
    grace: float
    begun: datetime
    ready: bool = False
    told: datetime | None = None
    gone: datetime | None = None

    def lived_at(self, moment: datetime) -> bool:
        """Whether it was there."""
        return self.begun <= moment and (self.gone is None or moment <= self.gone)


class Words(Struct):
    """What a caller's log holds."""

    text: bytes = b""
    ended: threading.Event = field(default_factory=threading.Event)

    def report(self) -> dict[str, Any] | None:
        """The report at its end."""
        _, begun, rest = self.text.partition(b"\n{\n")
        end = rest.find(b"\n}\n")
        return orjson.loads(b"{\n" + rest[: end + 3]) if begun and end >= 0 else None


@contextmanager
def watching(config: Config, namespace: str, system: str) -> Iterator["Watching"]:
    """The pods of both namespaces and the callers' logs, followed meanwhile."""
    watched = Watching(config, namespace, system)
    with Background(watched.follow):
        yield watched


class Watching:
    """What is known of the pods of two namespaces, and what callers in the first have said."""

    def __init__(self, config: Config, namespace: str, system: str) -> None:
        self.lives: dict[str, Life] = {}
        self.words: dict[str, Words] = {}
        self._config, self._namespace, self._system = config, namespace, system

    def settled(self) -> bool:
        """Whether all pods that are to stay are ready."""
        lives = list(self.lives.values())
        return all(life.ready for life in lives if life.told is None and life.gone is None)

    def last_words(self) -> dict[str, dict[str, Any] | None]:
        """By pod: the reports of all callers, once each has said its last word; None: it said none."""
        end = time.monotonic() + _PATIENCE
        for words in list(self.words.values()):
            words.ended.wait(max(0.0, end - time.monotonic()))  # what was said is judged all the same
        return {pod: words.report() for pod, words in self.words.items()}

    async def follow(self) -> None:
        """See and hear until cancelled."""
        async with Client(self._config) as client, asyncio.TaskGroup() as tasks:
            for namespace in (self._namespace, self._system):
                tasks.create_task(self._pods(client, namespace, tasks))

    async def _pods(self, client: Client, namespace: str, tasks: asyncio.TaskGroup) -> None:
        async with aclosing(follow(client, POD, namespace)) as events:
            async for event in events:
                match event:
                    case Listed(items=items):
                        for pod in items:
                            self._seen(client, pod, tasks)
                    case Applied(object=pod):
                        self._seen(client, pod, tasks)
                    case Deleted(object=pod):
                        self._seen(client, pod, tasks)
                        self.lives[pod["metadata"]["name"]].gone = datetime.now(UTC)

    def _seen(self, client: Client, pod: dict[str, Any], tasks: asyncio.TaskGroup) -> None:
        about = pod["metadata"]
        name, app = about["name"], (about.get("labels") or {}).get("app", "")
        grace = float(pod["spec"].get("terminationGracePeriodSeconds") or 30)
        life = self.lives.setdefault(name, Life(app, grace, datetime.now(UTC)))
        if life.told is None and about.get("deletionTimestamp"):
            end = datetime.fromisoformat(about["deletionTimestamp"])
            life.told = end - timedelta(seconds=about.get("deletionGracePeriodSeconds") or 0)
        conditions = (pod.get("status") or {}).get("conditions") or []
        life.ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        running = (pod.get("status") or {}).get("phase") == "Running"
        if app == CALLER and running and name not in self.words:
            self.words[name] = Words()
            tasks.create_task(self._log(client, name, self.words[name]))

    async def _log(self, client: Client, pod: str, words: Words) -> None:
        """Follow a log to its end; from its beginning again when the API server went away."""
        path = POD.path(self._namespace, pod, "log")
        params = {"follow": "true", "container": "load"}
        while words.report() is None:
            text = b""
            try:
                async with aclosing(client.stream("GET", path, params=params)) as chunks:
                    async for chunk in chunks:
                        text += chunk
                        words.text = max(words.text, text, key=len)
            except NotFound:
                break
            except (ApiError, OSError):
                pass
            life = self.lives[pod]
            if life.gone is not None:
                break
            await asyncio.sleep(_AGAIN)
        words.ended.set()
