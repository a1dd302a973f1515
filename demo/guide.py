"""A page of the docs as a script: its `bash` blocks are typed, its `text` blocks say what is printed.

A section (`## Title`) is one script. A comment `# answer: y` answers the prompt of the command before it.
In a `text` block `<name>` stands for one word, a line `...` for any lines; blanks are folded; the block must
match somewhere in what the commands of the block before it printed.
"""

import re
from pathlib import Path

from msgspec import Struct

PAGE = Path(__file__).parent.parent / "docs" / "canary-upgrade.md"
_FENCE = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Command(Struct, frozen=True):
    """A line that is typed, and the answer to its prompt (empty: end of input)."""

    line: str
    answer: str = ""


class Step(Struct, frozen=True):
    """Commands in the order in which they are typed, and what they must show (empty: anything)."""

    commands: tuple[Command, ...]
    expected: str = ""


def section(title: str, page: Path = PAGE) -> tuple[Step, ...]:
    """The steps of one section of the page.

    Raises:
        KeyError: the page has no such section.
    """
    for part in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        if heading.strip() == title:
            return _steps(body)
    raise KeyError(f"{page}: no section {title!r}")


def _steps(body: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    for language, content in _FENCE.findall(body):
        if language == "bash":
            steps.append(Step(_commands(content)))
        elif steps:
            steps[-1] = Step(steps[-1].commands, content)
    return tuple(steps)


def _commands(content: str) -> tuple[Command, ...]:
    commands: list[Command] = []
    for line in content.replace("\\\n", " ").splitlines():
        if line.startswith("# answer:"):
            commands[-1] = Command(commands[-1].line, line.partition(":")[2].strip())
        elif line.strip() and not line.startswith("#"):
            commands.append(Command(line))
    return tuple(commands)


def shows(expected: str, printed: str) -> bool:
    """Whether what was printed contains the expected lines, in their order."""
    return bool(re.search(_pattern(expected), _folded(printed), re.MULTILINE))


def _folded(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(lines) + "\n"


def _pattern(expected: str) -> str:
    pattern = []
    for line in _folded(expected).splitlines():
        if line == "...":
            pattern.append(r"(?:.*\n)*?")
        else:
            words = re.split(r"(<[^<> ]+>)", line)
            parts = (r"\S+" if _stands_for_a_word(word) else re.escape(word) for word in words)
            pattern.append("^" + "".join(parts) + "\n")
    return "".join(pattern)


def _stands_for_a_word(word: str) -> bool:
    return word.startswith("<") and word.endswith(">") and word != "<none>"
