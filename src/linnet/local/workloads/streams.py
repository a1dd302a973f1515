"""The load of long streams: some are always open, messages go over them, and every end is accounted for."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from linnet.local.workloads.http1 import Failed
from linnet.local.workloads.lines import Line
from linnet.local.workloads.record import BY_US, RESET, Record, Tally, describe
from linnet.local.workloads.steady import stopped

_PATIENCE = 0.2  # seconds between attempts to open a stream, at least
_ANSWERS_ALL = frozenset({BY_US, "bye", "goaway"})  # ends before which the server answers what was sent


class Stream:
    """The place of one stream: when it ends, the next is opened."""

    def __init__(
        self,
        make: Callable[[], Line],
        record: Record,
        tally: Tally,
        *,
        every: float,
        life: float,
        timeout: float,
        say: Callable[[str], None],
    ) -> None:
        self._make, self._record, self._tally, self._say = make, record, tally, say
        self._every, self._life, self._timeout = every, life, timeout
        self._sent: dict[str, float] = {}  # what was not answered yet, and when it was sent
        self._last = 0.0  # when the latest message came
        self._loop = asyncio.get_running_loop()

    async def keep(self, stop: asyncio.Event) -> None:
        """Keep a stream open until `stop`, then end it in order."""
        while not stop.is_set():
            began, moment, line = self._loop.time(), datetime.now(UTC), self._make()
            try:
                async with asyncio.timeout(self._timeout):
                    await line.open()
            except (Failed, TimeoutError) as error:
                line.drop()
                self._fail(error, moment, began, line, "while it opened")
                await stopped(stop, _PATIENCE)
                continue
            self._tally.opened += 1
            how = await self._live(line, moment, began, stop)
            if how != BY_US and self._loop.time() - began < _PATIENCE:  # who is sent away does not rush back
                await stopped(stop, _PATIENCE)

    async def _live(self, line: Line, moment: datetime, asked: float, stop: asyncio.Event) -> str:
        """Use one stream, asked for at a moment and time, to its end; how it ended."""
        how = RESET
        self._sent.clear()
        began = self._last = self._loop.time()
        count = [0]

        def heard(text: str) -> None:
            count[0] += 1
            self._heard(line, text)

        listening = self._loop.create_task(line.listen(heard))
        try:
            await self._use(line, listening, began, stop)
            async with asyncio.timeout(self._timeout):
                how = await listening
            if self._sent and how in _ANSWERS_ALL:
                raise Failed("broken", f"ended ({how}) with messages that were not answered", line.pod)
        except (Failed, TimeoutError) as error:
            about = f"{count[0]} messages, {len(self._sent)} unanswered"
            self._fail(error, moment, asked, line, about)
            how = RESET
        finally:
            listening.cancel()
            line.drop()
            await asyncio.wait({listening})
        self._tally.end(how)
        return how

    async def _use(self, line: Line, listening: asyncio.Task[str], began: float, stop: asyncio.Event) -> None:
        """Send until the stream ends, its life is over or all is; in the latter cases begin to end it."""
        number = 0
        stopping = self._loop.create_task(stop.wait())
        try:
            while not listening.done():
                due = began + number * self._every
                over = stop.is_set() or (self._life and self._loop.time() >= began + self._life)
                if over:
                    await line.leave()
                    return
                await asyncio.wait(
                    {listening, stopping},
                    timeout=max(0, due - self._loop.time()),
                    return_when="FIRST_COMPLETED",
                )
                if listening.done() or stop.is_set():
                    continue
                self._check_patience(line)
                number += 1
                if line.asks:
                    self._sent[str(number)] = self._loop.time()
                    if not await line.send(str(number)):
                        self._sent.pop(str(number), None)
        except Failed:
            if not listening.done():  # what the peer said last tells more than a write that failed
                async with asyncio.timeout(self._timeout):
                    await listening
        finally:
            stopping.cancel()

    def _check_patience(self, line: Line) -> None:
        oldest = min(self._sent.values(), default=None) if line.asks else self._last + self._every
        if oldest is not None and self._loop.time() - oldest > self._timeout:
            raise TimeoutError

    def _heard(self, line: Line, text: str) -> None:
        now = self._loop.time()
        since = self._sent.pop(text, None) if line.asks else max(self._last, now - self._every)
        if since is None:
            raise Failed("malformed", f"{text[:40]!r} was not what is to come back", line.pod)
        self._last = now
        self._tally.good(now, now - since, line.pod, line.version)

    def _fail(
        self, error: Failed | TimeoutError, moment: datetime, began: float, line: Line, about: str
    ) -> None:
        kind, detail = "timeout", f"nothing within {self._timeout:g} s"
        if isinstance(error, Failed):
            kind, detail = error.kind, error.detail
        after = self._loop.time() - began
        failure = self._record.fail(self._tally, moment, kind, f"{detail}, {about}", line.pod, after=after)
        self._say(describe(failure))
