"""A bash in which commands are typed; what they print is shown as it comes, and kept."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO
from uuid import uuid4

from msgspec import Struct


class Outcome(Struct, frozen=True):
    """What a command came to."""

    command: str
    code: int
    output: str  # stdout and stderr, as they came


class Shell:
    """A context manager; one bash process for all commands, so that variables live on."""

    def __init__(
        self, environment: Mapping[str, str], *, directory: str, echo: TextIO | None = sys.stdout
    ) -> None:
        self._environment, self._directory, self._echo = dict(environment), directory, echo
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            cwd=self._directory,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def type(self, command: str, *, answer: str = "") -> Outcome:
        """Run one command to its end. A prompt gets the answer, or end of input."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        mark = f"\x1e{uuid4().hex}"
        self._show(f"\n$ {command}\n")
        stdin = f"<<<{shlex.quote(answer)}" if answer else "</dev/null"
        process.stdin.write(f"{{ {command}\n}} {stdin}\nprintf '%s %s\\n' '{mark}' $?\n".encode())
        process.stdin.flush()
        printed = b""
        descriptor = process.stdout.fileno()
        while mark.encode() not in printed or not printed.endswith(b"\n"):
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise EOFError(f"the shell ended during: {command}\n{printed.decode(errors='replace')}")
            printed += chunk
            self._show(chunk.decode(errors="replace").partition("\x1e")[0])
        text, _, code = printed.decode(errors="replace").partition(mark)
        return Outcome(command, int(code), text)

    def quiet(self, command: str) -> Outcome:
        """Run a command without showing it."""
        echo, self._echo = self._echo, None
        try:
            return self.type(command)
        finally:
            self._echo = echo

    def _show(self, text: str) -> None:
        if self._echo and text:
            self._echo.write(text)
            self._echo.flush()
