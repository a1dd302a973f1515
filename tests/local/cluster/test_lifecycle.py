"""The local cluster as a user drives it: up, down, kill -9, two at once, what is left."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from linnet.local import ask, preflight
from linnet.local.paths import Paths, local_paths

pytestmark = pytest.mark.e2e


class Cluster:
    """A cluster of the test's own."""

    def __init__(self, directory: str) -> None:
        self.paths: Paths = local_paths(f"{directory}/s", f"{directory}/r")
        os.mkdir(f"{directory}/r")
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": f"{directory}/s",
            "XDG_RUNTIME_DIR": f"{directory}/r",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "linnet.cli", "local", *words]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        output, errors = process.communicate(timeout=90)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(self.paths.daemon).read_text())
        return found

    def get(self, path: str) -> Any:
        return ask.get(self.paths, self.facts()["port"], path)

    def processes(self) -> list[int]:
        """The processes that hold the cluster's lock."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdecimal():
                try:
                    files = {os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")}
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
                if self.paths.lock in files:
                    found.append(int(name))
        return found

    def kubectl(self, *words: str, stdin: str = "") -> str:
        environment = {**self.environment, "KUBECONFIG": self.paths.kubeconfig}
        return subprocess.run(
            ["kubectl", *words],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    directory = tempfile.mkdtemp(prefix="lc-", dir="/tmp")
    made = Cluster(directory)
    if found := preflight.problems(made.paths):
        shutil.rmtree(directory)
        pytest.skip(found[0])
    yield made
    made.run("down", "--purge")
    shutil.rmtree(directory)


def test_up_is_idempotent_and_down_leaves_nothing(cluster: Cluster):
    """A second up finds the cluster; down leaves no process, link or mount; purge no file."""
    mounts, links = Path("/proc/mounts").read_text(), set(os.listdir("/sys/class/net"))
    first = cluster.run("up")
    assert first.returncode == 0, first.stderr
    assert "API server ready" in first.stderr
    again = cluster.run("up")
    assert again.returncode == 0
    assert "is running already" in again.stderr
    assert cluster.get("/api/v1/nodes/node-1")["metadata"]["name"] == "node-1"
    assert Path("/proc/mounts").read_text() == mounts
    assert set(os.listdir("/sys/class/net")) == links
    assert cluster.run("down").returncode == 0
    assert cluster.processes() == []
    assert not os.path.exists(cluster.paths.run)
    assert Path("/proc/mounts").read_text() == mounts
    assert cluster.run("down", "--purge").returncode == 0
    assert not os.path.exists(cluster.paths.state)


def test_two_at_once(cluster: Cluster):
    """Two ups at the same time give one cluster, and both report it."""
    both = [cluster.start("up") for _ in range(2)]
    output = [process.communicate(timeout=90) for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    assert sum("is up" in errors for _, errors in output) == 1
    assert sum("is running already" in errors for _, errors in output) == 1


CONFIG_MAP = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept"},"data":{"a":"1"}}'
POD = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: linnet/host, command: [sleep, "1000"]}
"""


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not on PATH: install it to run this test")
@pytest.mark.parametrize("victim", ["daemon", "node", "forker", "api"])
def test_kill(cluster: Cluster, victim: str):
    """After kill -9 of any process everything acknowledged is there, pods run again, nothing is orphaned."""
    assert cluster.run("up").returncode == 0
    cluster.kubectl("apply", "-f", "-", stdin=CONFIG_MAP)
    cluster.kubectl("apply", "-f", "-", stdin=POD)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/sleeper", "--timeout=30s")
    before = cluster.processes()
    facts = cluster.facts()
    pids = {"daemon": facts["pid"], **facts["processes"]}
    node = str(facts["processes"]["node"])
    pids["forker"] = int(Path(f"/proc/{node}/task/{node}/children").read_text().split()[0])
    started = cluster.get("/api/v1/namespaces/default/pods/sleeper")["status"]["containerStatuses"][0]
    os.kill(pids[victim], signal.SIGKILL)
    if victim == "daemon":
        until(lambda: not cluster.processes(), 5)
    assert cluster.run("up").returncode == 0
    assert cluster.get("/api/v1/namespaces/default/configmaps/kept")["data"] == {"a": "1"}

    def runs() -> bool:
        state = cluster.get("/api/v1/namespaces/default/pods/sleeper")["status"]["containerStatuses"][0]
        restarted = state["containerID"] != started["containerID"]
        return bool(state["ready"]) and (restarted or victim == "api")

    until(runs)
    until(lambda: len(cluster.processes()) == len(before), 5)


@pytest.mark.parametrize("made", ["daemon.lock", "pki/ca.key", "daemon.json", "cluster.db"])
def test_a_start_that_is_killed(cluster: Cluster, made: str):
    """However far the first `up` came before it and all its processes were killed, the next completes it."""
    starting = cluster.start("up")
    until(lambda: os.path.exists(f"{cluster.paths.state}/{made}") or starting.poll() is not None, 60)
    for pid in (starting.pid, *cluster.processes()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    starting.communicate(timeout=60)
    again = cluster.run("up")
    assert again.returncode == 0, again.stderr
    assert cluster.get("/api/v1/nodes/node-1")["metadata"]["name"] == "node-1"
    assert cluster.get("/api/v1/namespaces/default")["status"]["phase"] == "Active"


def test_env_status_and_logs(cluster: Cluster):
    """env is shell code for each shell, status tells in text and JSON, logs show the processes' lines."""
    assert cluster.run("status").returncode == 1
    assert cluster.run("logs").returncode == 1
    assert cluster.run("up").returncode == 0
    script = f'{cluster.run("env").stdout}echo "$KUBECONFIG"; command -v linnet'
    shell = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert shell[0] == cluster.paths.kubeconfig
    assert shell[1].endswith("/linnet")
    assert f"set -gx KUBECONFIG {cluster.paths.kubeconfig};" in cluster.run("env", "--shell", "fish").stdout
    status = cluster.run("status", "-o", "json")
    assert status.returncode == 0
    found = json.loads(status.stdout)
    assert (found["running"], found["ready"]) == (True, True)
    assert {process["name"] for process in found["processes"]} >= {"daemon", "api", "node", "forker"}
    assert "ready" in cluster.run("status").stdout
    assert '"event": "starting"' in cluster.run("logs", "daemon").stdout


def test_bad_catalogue_is_refused_before_anything_is_made(cluster: Cluster, tmp_path: Path):
    """The message names file, entry and field; nothing is started."""
    file = tmp_path / "images.yaml"
    file.write_text("- name: a\n  comand: [x]\n")
    refused = cluster.run("up", "--images", str(file))
    assert refused.returncode == 65
    assert "images[0]" in refused.stderr
    assert "comand" in refused.stderr
    assert not os.path.exists(cluster.paths.state)


def test_images_are_listed(cluster: Cluster, tmp_path: Path):
    """The catalogue shows the user's entries and Linnet's own."""
    file = tmp_path / "images.yaml"
    file.write_text('- name: "example.test/*"\n  command: [sleep, "5"]\n')
    assert cluster.run("up", "--images", str(file)).returncode == 0
    listed = cluster.run("images").stdout
    assert "example.test/*" in listed
    assert "linnet/echo:latest" in listed
