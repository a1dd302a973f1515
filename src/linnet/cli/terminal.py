"""What a person sees and answers: progress lines and yes-or-no questions."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from linnet.cli.faults import NobodyReads


class Progress:
    """Progress on stdout: a terminal rewrites the working line, others get each distinct line."""

    def __init__(self) -> None:
        self._terminal = sys.stdout is not None and sys.stdout.isatty()
        self._last = ""

    def working(self, text: str) -> None:
        """What is going on now."""
        if text == self._last:
            return
        self._last = text
        _say(f"\r\x1b[K- {text}" if self._terminal else f"- {text}", end="" if self._terminal else "\n")

    def done(self, text: str) -> None:
        """Something that is over; it stays."""
        self._last = ""
        _say(f"\r\x1b[K{text}" if self._terminal else text)


def _say(text: str, end: str = "\n") -> None:
    """Print; a reader that has gone ends the program, and is not taken for a fault of what is being done."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError as error:
        raise NobodyReads from error


def warn(text: str) -> None:
    """Something that does not stop the command, on stderr."""
    print(f"Warning: {text}", file=sys.stderr)


def confirm(question: str) -> bool:
    """Ask until the answer is y, yes, n or no; an empty line or the end of input is no.

    Source: istioctl, its confirmation prompt.
    """
    while True:
        line = _asked(question)
        answer = line.strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no", ""):
            return False


def choose(question: str, answers: Sequence[str]) -> str:
    """Ask until the answer is one of these; an empty line or the end of input is none (empty)."""
    while True:
        answer = _asked(f"{question} ({'|'.join(answers)})").strip()
        if answer in answers or not answer:
            return answer


def _asked(question: str) -> str:
    """The line that is typed; empty at the end of input, also where there is no standard input."""
    print(question, end=" ", flush=True)
    line = ""
    if sys.stdin is not None:
        with _interruptible():
            line = sys.stdin.buffer.readline().decode(errors="replace")
    if not line.endswith("\n"):
        print(flush=True)
    return line


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt end a wait for input: in `asyncio.run` the first one would only mark the task."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, held)
