"""Keys that wait for their controller: each at most once, failed ones again after a while."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog

from linnet.kube.errors import AlreadyExists, ApiError, Conflict, NotFound

K = TypeVar("K", bound=Hashable)
_LOG = structlog.get_logger("controllers")


class Queue(Generic[K]):
    """A controller's work: `add` a key from anywhere; `run` reconciles one key at a time."""

    def __init__(self, name: str, reconcile: Callable[[K], Awaitable[None]]) -> None:
        self._name = name
        self._reconcile = reconcile
        self._due: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._woken = asyncio.Event()

    def add(self, key: K, *, after: float = 0.0) -> None:
        """Reconcile `key` after so many seconds; the earlier of two requests wins."""
        when = asyncio.get_running_loop().time() + after
        self._due[key] = min(when, self._due.get(key, when))
        self._woken.set()

    async def run(self) -> None:
        """Reconcile for ever. Conflicts and failures of the API server are tried again, bugs end the task."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            key = min(self._due, key=self._due.__getitem__, default=None)
            if key is None or self._due[key] > loop.time():
                try:
                    async with asyncio.timeout_at(None if key is None else self._due[key]):
                        await self._woken.wait()
                except TimeoutError:
                    pass
                continue
            del self._due[key]
            await self._attempt(key)

    async def _attempt(self, key: K) -> None:
        try:
            await self._reconcile(key)
        except (Conflict, NotFound, AlreadyExists):
            self.add(key, after=0.05)  # the mirror is behind; it will have caught up
        except OSError as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            code = error.code if isinstance(error, ApiError) else 0
            _LOG.info("retry", controller=self._name, key=key, failures=failures, code=code, error=str(error))
            self.add(key, after=min(30.0, 0.1 * 2.0 ** min(failures, 9)))
        else:
            self._failures.pop(key, None)
