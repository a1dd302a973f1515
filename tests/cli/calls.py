"""The program, called as from a shell, in this process: without its start of a third of a second."""

import io
import shlex
import sys
from typing import Protocol

import pytest
from msgspec import Struct

from linnet.cli.__main__ import main

REACHED = "no cluster to talk to"  # everything before was understood


class Done(Struct, frozen=True):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Call(Protocol):
    """Call the program with a line as a shell has it, and with variables of the environment."""

    def __call__(self, line: str, **environment: str) -> Done: ...


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call it where there is no cluster, no file of defaults, and nothing to read."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "ISTIOCONFIG", "ISTIOCTL_ISTIONAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))

    def call(line: str, **environment: str) -> Done:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["linnet", *shlex.split(line)])
            for name, value in environment.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        told = capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return call
