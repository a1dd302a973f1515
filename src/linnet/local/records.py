"""What a running cluster says about itself: a small JSON file, and locks that tell who lives."""

import contextlib
import fcntl
import json
import os
from typing import Any

from linnet.local.paths import Paths


def write(path: str, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.rename(temporary, path)


def note(paths: Paths, **facts: Any) -> None:
    """Record the facts about the daemon (pid, port, version, …) beside those that are there."""
    write(paths.daemon, json.dumps({**facts_of(paths), **facts}, indent=1).encode() + b"\n")


def facts_of(paths: Paths) -> dict[str, Any]:
    """What was recorded; empty when nothing was."""
    try:
        with open(paths.daemon, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except (FileNotFoundError, ValueError):
        return {}


def lock(path: str, *, wait: bool) -> int | None:
    """A descriptor that holds a lock; None: somebody else holds it and we do not wait.

    Forked children hold it too, so it is free only when all of them have ended.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def running(paths: Paths) -> bool:
    """Whether any process of the cluster lives."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = lock(paths.lock, wait=False)
        if descriptor is None:
            return True
        os.close(descriptor)
    return False
