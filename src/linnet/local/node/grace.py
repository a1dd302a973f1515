"""The time that an ending pod still has; it may become shorter while it runs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

MINIMUM = 2.0  # seconds between TERM and KILL when hooks used up the rest. Source: Kubernetes, kubelet


class Grace:
    """Counts down from `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._until = asyncio.get_running_loop().time() + seconds
        self._limits: set[asyncio.Timeout] = set()

    @property
    def left(self) -> float:
        """Seconds until the end, 0 after it."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    def shorten(self, seconds: float) -> None:
        """End in `seconds` from now at the latest, also what waits already."""
        until = asyncio.get_running_loop().time() + seconds
        if until < self._until:
            self._until = until
            for limit in self._limits:
                limit.reschedule(until)

    @asynccontextmanager
    async def limit(self, *, at_least: float = 0.0) -> AsyncGenerator[None, None]:
        """A block that raises TimeoutError when the time is over."""
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(max(self._until, now + at_least)) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)
