"""The command line, run on an API server."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(api_server: str) -> Run:
    """Run the command line on that server; `text` is typed, else input ends at once."""

    def call(*args: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        program = "import sys; sys.argv[0] = 'linnet'; from linnet.cli.__main__ import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *args],
            capture_output=True,
            text=True,
            input=text,
            timeout=120,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "KUBECONFIG": api_server,
                **environment,
            },
        )

    return call
