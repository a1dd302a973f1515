"""The format of transcripts: lines that begin with `@@ ` are markers, what is between them is literal text.

Markers: scenario, note, file NAME, cmd COMMAND, `@@+ ` (continues a command), rc N, stdout, stderr,
no-final-newline, end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_MARKER = "@@ "
_CONTINUED = "@@+ "
_WORDS = frozenset(["scenario", "note", "file", "cmd", "rc", "stdout", "stderr", "no-final-newline", "end"])


class Malformed(ValueError):
    """A file that is no transcript."""


@dataclass(slots=True)
class Command:
    """One bash command line with what it did when it was recorded."""

    line: int
    text: str
    code: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass(slots=True)
class File:
    """A manifest that appears in the working directory at this point."""

    name: str
    content: str = ""


@dataclass(slots=True)
class Transcript:
    """One scenario."""

    path: Path
    title: str = ""
    notes: list[str] = field(default_factory=list)
    steps: list[Command | File] = field(default_factory=list)

    @property
    def note(self) -> str:
        """All notes as one text."""
        return "; ".join(self.notes)

    @property
    def commands(self) -> list[Command]:
        """The commands in order."""
        return [step for step in self.steps if isinstance(step, Command)]


def read(path: Path) -> Transcript:
    """The transcript in a file. Raises: Malformed with file and line."""
    transcript = Transcript(path)
    target = ""  # what literal lines belong to
    for number, line in enumerate(path.read_text().split("\n"), start=1):
        if line.startswith(_CONTINUED):
            _last(transcript, path, number).text += "\n" + line[len(_CONTINUED) :]
            continue
        word, _, rest = line.removeprefix(_MARKER).partition(" ")
        if not line.startswith(_MARKER) or word not in _WORDS:  # diffs have lines that begin with @@
            _literal(transcript, target, line)
            continue
        target = word
        match word:
            case "scenario":
                transcript.title = rest
            case "note":
                transcript.notes.append(rest)
            case "file":
                transcript.steps.append(File(rest))
            case "cmd":
                transcript.steps.append(Command(number, rest))
            case "rc":
                _last(transcript, path, number).code = int(rest)
            case "stdout" | "stderr":
                pass
            case "no-final-newline":
                _without_newline(_last(transcript, path, number))
            case "end":
                return transcript
            case _:
                raise AssertionError(word)
    raise Malformed(f"{path}: no `@@ end`")


def _last(transcript: Transcript, path: Path, number: int) -> Command:
    step = transcript.steps[-1] if transcript.steps else None
    if not isinstance(step, Command):
        raise Malformed(f"{path}:{number}: a marker that needs a command before it")
    return step


def _literal(transcript: Transcript, target: str, line: str) -> None:
    step = transcript.steps[-1] if transcript.steps else None
    if isinstance(step, File) and target == "file":
        step.content += line + "\n"
    elif isinstance(step, Command) and target == "stdout":
        step.stdout += line + "\n"
    elif isinstance(step, Command) and target == "stderr":
        step.stderr += line + "\n"


def _without_newline(command: Command) -> None:
    if command.stderr:
        command.stderr = command.stderr.removesuffix("\n")
    else:
        command.stdout = command.stdout.removesuffix("\n")
