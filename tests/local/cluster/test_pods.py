"""Pods as kubectl's users meet them: exec, attach, port-forward, logs, and what their status says."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import termios
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from linnet.local import preflight
from linnet.local.paths import local_paths

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not shutil.which("kubectl"), reason="kubectl is not on PATH: install it to run this test"
    ),
]
LONG = 240  # seconds that a command may take on a loaded machine
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: many}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: beside
    image: linnet/host
    restartPolicy: Always
    command: [sh, -c, "echo beside; touch /shared/up; exec sleep 100000"]
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: first
    image: linnet/host
    command: [test, -e, /shared/up]
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: main
    image: linnet/host
    stdin: true
    command: [sh, -c]
    args:
    - |
      for n in 1 2 3; do echo line $n; done
      while read line; do echo got $line; done
      exec sleep 100000
    resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}
  volumes: [{name: shared, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: shares}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: linnet/host, command: [sleep, "100000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: again}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: linnet/host, command: [sh, -c, "echo life $$$$; exit 3"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: linnet/echo
    args: [--port=8080]
    readinessProbe: {httpGet: {port: 8080, path: /healthz}, periodSeconds: 1}
"""


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    """The environment of a local cluster in which the pods run."""
    directory = tempfile.mkdtemp(prefix="lp-")
    os.mkdir(f"{directory}/r")
    paths = local_paths(f"{directory}/s", f"{directory}/r")
    if found := preflight.problems(paths):
        shutil.rmtree(directory)
        pytest.skip(found[0])
    own = {
        "XDG_STATE_HOME": f"{directory}/s",
        "XDG_RUNTIME_DIR": f"{directory}/r",
        "KUBECONFIG": paths.kubeconfig,
    }
    variables = {**os.environ, **own}
    local = [sys.executable, "-m", "linnet.cli", "local"]
    try:
        subprocess.run([*local, "up"], env=variables, check=True, capture_output=True, timeout=LONG)
        kubectl(variables, "apply", "-f", "-", stdin=PODS)
        for name in ("many", "shares", "web"):
            kubectl(variables, "wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={LONG}s")
        yield variables
    finally:
        subprocess.run(
            [*local, "down", "--purge"], env=variables, check=True, capture_output=True, timeout=LONG
        )
        shutil.rmtree(directory)


def run(variables: dict[str, str], *words: str, stdin: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        ["kubectl", *words],
        env=variables,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def kubectl(variables: dict[str, str], *words: str, stdin: str = "") -> str:
    code, output, errors = run(variables, *words, stdin=stdin)
    assert code == 0, errors
    return output


def pod(variables: dict[str, str], name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl(variables, "get", "pod", name, "-o", "json"))
    return found


def test_exec(variables: dict[str, str]) -> None:
    """Streams, codes, and a command that is not there, in the words of container engines."""
    script = "cat; echo err >&2; exit 7"
    code, output, errors = run(
        variables, "exec", "-i", "many", "-c", "main", "--", "sh", "-c", script, stdin="in\n"
    )
    assert (code, output) == (7, "in\n")
    assert errors == "err\ncommand terminated with exit code 7\n"
    code, output, errors = run(variables, "exec", "many", "-c", "main", "--", "nosuchcmd")
    assert (code, output) == (1, "")
    assert errors.endswith('process: exec: "nosuchcmd": executable file not found in $PATH: unknown\n')
    code, _, errors = run(variables, "exec", "many", "-c", "none", "--", "true")
    assert (code, errors) == (1, "Error from server (BadRequest): container none is not valid for pod many\n")
    assert kubectl(variables, "exec", "many", "-c", "beside", "--", "hostname") == "many\n"


def test_exec_in_a_terminal(variables: dict[str, str]) -> None:
    """`-it` gives a terminal of its own, of the size of the caller's."""
    mine, its = pty.openpty()
    os.set_blocking(mine, True)
    termios.tcsetwinsize(its, (33, 99))
    command = [
        "kubectl",
        "exec",
        "-it",
        "many",
        "-c",
        "main",
        "--",
        "sh",
        "-c",
        "tty; until [ \"$(stty size)\" = '33 99' ]; do :; done; read x; echo got $x; exit 5",
    ]
    process = subprocess.Popen(command, env=variables, stdin=its, stdout=its, stderr=its)
    os.close(its)
    os.write(mine, b"word\r")
    shown = b""
    with suppress(OSError):  # the other side is closed
        while piece := os.read(mine, 4096):
            shown += piece
    os.close(mine)
    assert process.wait(LONG) == 5
    assert b"/dev/pts/" in shown
    assert b"got word" in shown


def test_attach(variables: dict[str, str]) -> None:
    """What is typed reaches the container's program, and its answer comes back."""
    process = subprocess.Popen(
        ["kubectl", "attach", "-i", "many", "-c", "main"],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("word\n")
    process.stdin.flush()
    assert any(line == "got word\n" for line in process.stdout)
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()


def test_logs(variables: dict[str, str]) -> None:
    """Of this life and the last, from the end, since a moment, and of a container that does not exist."""
    assert kubectl(variables, "logs", "many", "-c", "main").startswith("line 1\nline 2\nline 3\n")
    assert kubectl(variables, "logs", "many", "-c", "beside", "--tail=1") == "beside\n"
    assert kubectl(variables, "logs", "many", "-c", "beside", "--since-time=2999-01-01T00:00:00Z") == ""
    assert kubectl(variables, "logs", "many", "-c", "beside", "--since=24h") == "beside\n"
    stamped = kubectl(variables, "logs", "many", "-c", "beside", "--timestamps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z beside\n", stamped)
    code, _, errors = run(variables, "logs", "many", "-c", "beside", "--previous")
    assert (code, 'previous terminated container "beside" in pod "many" not found' in errors) == (1, True)
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=2"
    kubectl(variables, "wait", f"--for={restarted}", "pod/again", f"--timeout={LONG}s")
    lives = kubectl(variables, "logs", "again", "--previous")
    assert re.fullmatch(r"life \d+\n(.*\n)*", lives)


def test_status(variables: dict[str, str]) -> None:
    """Resources as a kubelet shows them, sidecars among the init containers, and one ready count of both."""
    status = pod(variables, "many")["status"]
    [main] = status["containerStatuses"]
    assert main["allocatedResources"] == {"cpu": "100m", "memory": "64Mi"}
    assert main["resources"] == {"limits": {"memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}}
    beside, first = status["initContainerStatuses"]
    assert beside["ready"]
    assert "running" in beside["state"]
    assert first["state"]["terminated"]["reason"] == "Completed"
    assert "2/2" in kubectl(variables, "get", "pod", "many")


def test_host_network(variables: dict[str, str]) -> None:
    """A pod with hostNetwork has the node's address and name, and reaches services from there."""
    status = pod(variables, "shares")["status"]
    assert status["podIP"] == status["hostIP"]
    assert kubectl(variables, "exec", "shares", "--", "hostname") == "node-1\n"
    address = pod(variables, "web")["status"]["podIP"]
    ask = f"exec 3<>/dev/tcp/{address}/8080 && echo reached"
    assert kubectl(variables, "exec", "shares", "--", "bash", "-c", ask) == "reached\n"


def test_ephemeral_containers_are_refused(variables: dict[str, str]) -> None:
    """Whoever adds one learns that it does not run, and what to do instead."""
    run(variables, "debug", "many", "--image=linnet/host", "-c", "bug", "--", "true")
    code, _, errors = run(variables, "logs", "many", "-c", "bug")
    assert code == 1
    assert "ephemeral containers are not offered by the local cluster: use kubectl exec" in errors
    path = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}=StartError"
    kubectl(variables, "wait", f"--for={path}", "pod/many", f"--timeout={LONG}s")


def test_port_forward_ends_with_its_pod(variables: dict[str, str]) -> None:
    """It carries requests; when the pod is gone, the next one ends it with an error, and nothing hangs."""
    process = subprocess.Popen(
        ["kubectl", "port-forward", "pod/web", ":8080"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"127\.0\.0\.1:(\d+) ->", process.stdout.readline())
    assert found
    url = f"http://127.0.0.1:{found[1]}/"
    with urllib.request.urlopen(url, timeout=LONG) as answer:
        assert answer.status == 200
    kubectl(variables, "delete", "pod", "web", f"--timeout={LONG}s")
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=LONG)
    _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "lost connection to pod" in errors
