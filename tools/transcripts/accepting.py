"""Differences that are accepted, each with its reason.

A JSON list of `{"file": glob, "command": regular expression, "reason": text}`.
"""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Accepted:
    """The list, in order; the first entry that fits gives the reason."""

    entries: list[tuple[str, re.Pattern[str], str]]

    def reason(self, file: str, command: str) -> str:
        """Why a command may differ, "" if it may not."""
        for pattern, expression, reason in self.entries:
            if fnmatch.fnmatch(file, pattern) and expression.search(command):
                return reason
        return ""


def load(path: Path) -> Accepted:
    """The list in a file."""
    entries = json.loads(path.read_text())
    return Accepted([(entry["file"], re.compile(entry["command"]), entry["reason"]) for entry in entries])
