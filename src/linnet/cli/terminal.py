"""What a person sees and answers: progress lines and yes-or-no questions."""

import sys
from collections.abc import Sequence


class Progress:
    """Progress on stdout: a terminal rewrites the working line, others get each distinct line."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._last = ""

    def working(self, text: str) -> None:
        """What is going on now."""
        if text == self._last:
            return
        self._last = text
        if self._terminal:
            print(f"\r\x1b[K- {text}", end="", flush=True)
        else:
            print(f"- {text}", flush=True)

    def done(self, text: str) -> None:
        """Something that is over; it stays."""
        self._last = ""
        print(f"\r\x1b[K{text}" if self._terminal else text, flush=True)


def warn(text: str) -> None:
    """Something that does not stop the command, on stderr."""
    print(f"Warning: {text}", file=sys.stderr)


def confirm(question: str) -> bool:
    """Ask until the answer is y, yes, n or no; an empty line or the end of input is no.

    Source: istioctl, its confirmation prompt.
    """
    while True:
        print(question, end=" ", flush=True)
        line = sys.stdin.readline()
        answer = line.strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no", ""):
            if not line.endswith("\n"):
                print()
            return False


def choose(question: str, answers: Sequence[str]) -> str:
    """Ask until the answer is one of these; an empty line or the end of input is none (empty)."""
    while True:
        print(f"{question} ({'|'.join(answers)})", end=" ", flush=True)
        line = sys.stdin.readline()
        answer = line.strip()
        if answer in answers or not answer:
            if not line.endswith("\n"):
                print()
            return answer
