"""Wait until changes pause."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """That something changed, since when, and whether it can wait for more."""

    clock: Callable[[], float]
    """Loop time in seconds."""
    _event: asyncio.Event = field(default_factory=asyncio.Event)
    _urgent: bool = True
    _first: float | None = None
    _last: float = 0.0

    def note(self, *, urgent: bool) -> None:
        """Something changed; `urgent` changes (endpoints) need not wait for others."""
        self._last = self.clock()
        if self._first is None:
            self._first = self._last
        self._urgent = self._urgent and urgent
        self._event.set()

    async def settle(self, *, quiet: float, urgent_quiet: float, limit: float) -> float:
        """Return once there were changes and then none for `quiet` seconds, at the latest after `limit`.

        If all of them are urgent, `urgent_quiet` is enough. Gives the time of the first one.
        """
        await self._event.wait()
        while True:
            assert self._first is not None
            pause = urgent_quiet if self._urgent else quiet
            left = min(self._last + pause, self._first + limit) - self.clock()
            if left <= 0:
                return self._take()
            await asyncio.sleep(left)

    def _take(self) -> float:
        assert self._first is not None
        first, self._first, self._urgent = self._first, None, True
        self._event.clear()
        return first
