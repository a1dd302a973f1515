"""How long to wait before a container is started, or its image looked up, once more.

Source: Kubernetes, "Container restart policy": 10 s, doubling to 300 s; forgotten after running 10 minutes.
"""

from dataclasses import dataclass

INITIAL = 10.0  # seconds
LIMIT = 300.0
_FORGET = 600.0


@dataclass(slots=True)
class Backoff:
    """The back-off of one container."""

    delay: float = 0.0  # seconds before the next try; 0: at once

    def failed(self, ran: float) -> float:
        """The delay after an end that came `ran` seconds after the start; the first is 0."""
        if ran > _FORGET:
            self.delay = 0.0
        now = self.delay
        self.delay = min(LIMIT, max(INITIAL, 2 * now))
        return now


def spoken(seconds: float) -> str:
    """`10s`, `2m40s`, as Go prints durations."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
