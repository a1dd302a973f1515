"""What several folders of tests need."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# how long an example takes says more of the machine than of the code
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


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
