"""Questions and answers; readers of standard output that go, and standard streams that are not there."""

import io
import os
import subprocess
import sys

import pytest
from tests.cli.test_calling import rows

from linnet.cli.terminal import choose, confirm

pytestmark = pytest.mark.unit
PROGRAM = "import sys; sys.argv[0] = 'linnet'; from linnet.cli.__main__ import main; main()"

# a command that reports its progress and gives something back in the end
WORKS = """
import asyncio, sys
from linnet.cli import options
from linnet.cli.faults import explain
from linnet.cli.terminal import Progress

async def work():
    progress = Progress()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(report(progress))
    finally:
        await asyncio.sleep(0)
        print("given back", file=sys.stderr)

async def report(progress):
    for number in range(100_000):
        progress.working(f"step {number}")

with explain():
    options.run(work())
"""


def typed(words: str) -> str:
    """What somebody types, from the words of the page."""
    keys = [part.removeprefix("then ") for part in words.split(", ")]
    return "".join({"an empty line": "\n", "end of input": ""}.get(key, f"{key}\n") for key in keys)


@pytest.mark.parametrize(("words", "taken"), rows("Prompts"))
def test_answers(
    words: str, taken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of the page; a question that is not answered is asked again."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed(words).encode())))
    assert confirm("Proceed? (y/N)") == taken.endswith("yes")
    assert capsys.readouterr().out.count("Proceed? (y/N) ") == (2 if "again" in taken else 1)


def test_bytes_that_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no answer."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\ny\n")))
    assert confirm("Proceed? (y/N)")


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the answers, or none at the end of input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"c\nb\n")))
    assert choose("Who?", ["a", "b"]) == "b"
    assert choose("Who?", ["a", "b"]) == ""


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `linnet` is the program."""
    script = f'linnet() {{ "$PYTHON" -c "$PROGRAM" "$@"; }}\nworks() {{ "$PYTHON" -c "$WORKS"; }}\n{line}\n'
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHON": sys.executable,
            "PROGRAM": PROGRAM,
            "WORKS": WORKS,
        },
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("linnet manifest generate | head -1 > /dev/null; echo ${PIPESTATUS[0]} >&2", 141),
        ("linnet --help | sleep 0; echo ${PIPESTATUS[0]} >&2", 141),
        ("linnet tag | sleep 0; echo ${PIPESTATUS[0]} >&2", 141),
        ("works | head -1 > /dev/null; echo ${PIPESTATUS[0]} >&2", 141),
        ("linnet profile list >&-; echo $? >&2", 0),
        ("linnet nonsense 2>&-; echo $? >&2", 64),
        ("linnet kube-inject -f - <&-; echo $? >&2", 1),
    ],
)
def test_streams_that_end(line: str, code: int) -> None:
    """No traceback, and the code of what happened."""
    *said, ended = shell(line).stderr.splitlines()
    assert int(ended) == code
    assert not [text for text in said if "Traceback" in text or "Exception" in text]
