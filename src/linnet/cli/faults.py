"""Exceptions become one line on stderr and an exit code; a user's mistake never shows a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

FAILED, USAGE, UNREADABLE, ISSUES = 1, 64, 65, 79  # exit codes; Source: istioctl


class UserError(Exception):
    """Something that the caller can mend; the message says what, where and how. `code` is the exit code."""

    def __init__(self, message: str, *, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def explain() -> Iterator[None]:
    """Print the errors of the world and of the user as `Error: …` and exit with their code."""
    try:
        yield
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.code)
    except BrokenPipeError:
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(FAILED)
