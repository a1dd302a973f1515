"""Wait until changes pause."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """What changed since somebody last took it: kinds by urgency, and when the first change came."""

    clock: "asyncio.AbstractEventLoop"
    event: asyncio.Event = field(default_factory=asyncio.Event)
    calm: bool = True
    """Only endpoints changed so far; a push need not wait for others."""
    first: float | None = None
    last: float = 0.0

    def note(self, *, urgent: bool) -> None:
        """Something changed; `urgent` changes (endpoints) are worth a push of their own."""
        self.last = self.clock.time()
        if self.first is None:
            self.first = self.last
        self.calm = self.calm and urgent
        self.event.set()

    def take(self) -> float:
        """Start over; when the first of the changes came."""
        first = self.first if self.first is not None else self.clock.time()
        self.event.clear()
        self.calm, self.first = True, None
        return first

    async def settle(self, *, quiet: float, urgent_quiet: float, limit: float) -> float:
        """Return once there were changes and then none for `quiet` seconds, at the latest after `limit`.

        If only endpoints changed, `urgent_quiet` is enough. Gives the time of the first change (loop time).
        """
        await self.event.wait()
        assert self.first is not None
        while True:
            pause = urgent_quiet if self.calm else quiet
            due = min(self.last + pause, self.first + limit)
            if self.clock.time() >= due:
                return self.take()
            await asyncio.sleep(due - self.clock.time())
