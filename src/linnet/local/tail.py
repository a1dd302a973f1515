"""The last lines of log files, and those to come."""

import os
import time
from collections import deque
from collections.abc import Iterator

_POLL = 0.2  # seconds


def lines(files: dict[str, str], *, last: int, follow: bool) -> Iterator[str]:
    """The last lines of each file by name; with `follow`, then the new ones of all, for ever.

    With several files, each line begins with the name of its file.
    """
    prefixes = {name: f"{name}: " if len(files) > 1 else "" for name in files}
    offsets: dict[str, int] = {}
    for name, path in files.items():
        ending: deque[str] = deque(maxlen=last)
        offsets[name] = 0
        for line in _whole_lines(path, offsets, name):
            ending.append(line)
        yield from (prefixes[name] + line for line in ending)
    while follow:
        for name, path in files.items():
            for line in _whole_lines(path, offsets, name):
                yield prefixes[name] + line
        time.sleep(_POLL)


def _whole_lines(path: str, offsets: dict[str, int], name: str) -> Iterator[str]:
    """Lines that were written since `offsets[name]`, which moves on."""
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size < offsets[name]:
            offsets[name] = 0  # a new file
        file.seek(offsets[name])
        for line in file:
            if not line.endswith(b"\n"):
                return
            offsets[name] += len(line)
            yield line.decode(errors="replace").rstrip("\n")
