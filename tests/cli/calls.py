"""The program, called as from a shell, in this process: without its start of a third of a second."""

import io
import shlex
import sys
from collections.abc import Callable

import pytest
from msgspec import Struct

from linnet.cli.__main__ import main

REACHED = "no cluster to talk to"  # everything before was understood


class Done(Struct, frozen=True):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Call = Callable[[str], Done]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call it where there is no cluster, no file of defaults, and nothing to read."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "ISTIOCONFIG", "ISTIOCTL_ISTIONAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))

    def call(line: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["linnet", *shlex.split(line)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return call
