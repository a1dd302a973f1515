"""Exceptions become one line on stderr and an exit code; a user's mistake never shows a traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FAILED, USAGE, UNREADABLE, ISSUES = 1, 64, 65, 79  # exit codes; Source: istioctl
INTERRUPTED, CLOSED = 130, 141  # as a shell has it for a program that SIGINT or SIGPIPE ends


class UserError(Exception):
    """Something that the caller can mend; the message says what, where and how. `code` is the exit code."""

    def __init__(self, message: str, *, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


class NobodyReads(Exception):
    """The reader of standard output has gone: no `OSError`, which would count as a fault of what is done."""


@contextmanager
def explain() -> Iterator[None]:
    """Print the errors of the world and of the user as `Error: …` and exit with their code."""
    try:
        with unread():
            yield
    except UserError as error:
        _fail(str(error), error.code)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the shell's prompt on a line of its own
        sys.exit(INTERRUPTED)
    except OSError as error:
        _fail(str(error), FAILED)


def _fail(message: str, code: int) -> None:
    with suppress(BrokenPipeError):
        print(f"Error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


@contextmanager
def unread() -> Iterator[None]:
    """Print what was said, and end with the code of SIGPIPE where the reader of standard output has gone."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, NobodyReads):
        with suppress(OSError, ValueError, AttributeError):  # Python's own last flush must not fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED)
