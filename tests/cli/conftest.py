"""An API server for commands that read one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The administrator's kubeconfig of an API server by itself: no controllers, no node."""
    state = tmp_path_factory.mktemp("api")
    command = [sys.executable, "-m", "linnet.local.api", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        path = server.stdout.readline().strip()
        assert Path(path).exists()
        yield path
        server.terminate()
        server.wait(timeout=10)


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
