"""Sessions with the real kubectl, recorded from a real Kubernetes, replayed against Linnet's API server."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which(os.environ.get("KUBECTL", "") or "kubectl") is None,
        reason="needs kubectl: https://kubernetes.io/docs/tasks/tools/, or KUBECTL=path",
    ),
]


def test_the_canary_upgrade_reads_as_on_kubernetes() -> None:
    """Every command of a revision-based upgrade prints what it printed when it was recorded."""
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = subprocess.run(
        [sys.executable, "-m", "tools.transcripts", "tests/transcripts/12-canary.txt"],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    total = re.search(r"total: (\d+)/(\d+) agreed, 0 accepted differences", done.stdout)
    assert total is not None
    assert total[1] == total[2] == "37"
