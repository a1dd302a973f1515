"""Pods as kubectl's users meet them: exec, attach, port-forward, logs, and what their status says."""

import json
import os
import pty
import re
import subprocess
import termios
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.e2e.clusters import NEEDS_KUBECTL, NEEDS_ROOT, Cluster, cluster

pytestmark = [pytest.mark.e2e, NEEDS_ROOT, NEEDS_KUBECTL]
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
def pods() -> Iterator[Cluster]:
    """A local cluster in which the pods run."""
    with cluster() as made:
        made.kubectl("apply", "-f", "-", text=PODS)
        for name in ("many", "shares", "web"):
            made.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={LONG}s")
        yield made


def attempt(pods: Cluster, *words: str, text: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of kubectl."""
    done = pods.call("kubectl", *words, text=text)
    return done.returncode, done.stdout, done.stderr


def pod(pods: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pods.kubectl("get", "pod", name, "-o", "json"))
    return found


def test_exec(pods: Cluster) -> None:
    """Streams, codes, and a command that is not there, in the words of container engines."""
    script = "cat; echo err >&2; exit 7"
    code, output, errors = attempt(
        pods, "exec", "-i", "many", "-c", "main", "--", "sh", "-c", script, text="in\n"
    )
    assert (code, output) == (7, "in\n")
    assert errors == "err\ncommand terminated with exit code 7\n"
    code, output, errors = attempt(pods, "exec", "many", "-c", "main", "--", "nosuchcmd")
    assert (code, output) == (1, "")
    assert errors.endswith('process: exec: "nosuchcmd": executable file not found in $PATH: unknown\n')
    code, _, errors = attempt(pods, "exec", "many", "-c", "none", "--", "true")
    assert (code, errors) == (1, "Error from server (BadRequest): container none is not valid for pod many\n")
    assert pods.kubectl("exec", "many", "-c", "beside", "--", "hostname") == "many\n"


def test_exec_in_a_terminal(pods: Cluster) -> None:
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
    process = subprocess.Popen(command, env=pods.variables, stdin=its, stdout=its, stderr=its)
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


def test_attach(pods: Cluster) -> None:
    """What is typed reaches the container's program, and its answer comes back."""
    process = subprocess.Popen(
        ["kubectl", "attach", "-i", "many", "-c", "main"],
        env=pods.variables,
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


def test_logs(pods: Cluster) -> None:
    """Of this life and the last, from the end, since a moment, and of a container that does not exist."""
    assert pods.kubectl("logs", "many", "-c", "main").startswith("line 1\nline 2\nline 3\n")
    assert pods.kubectl("logs", "many", "-c", "beside", "--tail=1") == "beside\n"
    assert pods.kubectl("logs", "many", "-c", "beside", "--since-time=2999-01-01T00:00:00Z") == ""
    assert pods.kubectl("logs", "many", "-c", "beside", "--since=24h") == "beside\n"
    stamped = pods.kubectl("logs", "many", "-c", "beside", "--timestamps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z beside\n", stamped)
    code, _, errors = attempt(pods, "logs", "many", "-c", "beside", "--previous")
    assert (code, 'previous terminated container "beside" in pod "many" not found' in errors) == (1, True)
    restarted = "jsonpath={.status.containerStatuses[0].restartCount}=2"
    pods.kubectl("wait", f"--for={restarted}", "pod/again", f"--timeout={LONG}s")
    lives = pods.kubectl("logs", "again", "--previous")
    assert re.fullmatch(r"life \d+\n(.*\n)*", lives)


def test_status(pods: Cluster) -> None:
    """Resources as a kubelet shows them, sidecars among the init containers, and one ready count of both."""
    status = pod(pods, "many")["status"]
    [main] = status["containerStatuses"]
    assert main["allocatedResources"] == {"cpu": "100m", "memory": "64Mi"}
    assert main["resources"] == {"limits": {"memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}}
    beside, first = status["initContainerStatuses"]
    assert beside["ready"]
    assert "running" in beside["state"]
    assert first["state"]["terminated"]["reason"] == "Completed"
    assert "2/2" in pods.kubectl("get", "pod", "many")


def test_host_network(pods: Cluster) -> None:
    """A pod with hostNetwork has the node's address and name, and reaches services from there."""
    status = pod(pods, "shares")["status"]
    assert status["podIP"] == status["hostIP"]
    assert pods.kubectl("exec", "shares", "--", "hostname") == "node-1\n"
    address = pod(pods, "web")["status"]["podIP"]
    ask = f"exec 3<>/dev/tcp/{address}/8080 && echo reached"
    assert pods.kubectl("exec", "shares", "--", "bash", "-c", ask) == "reached\n"


def test_ephemeral_containers_are_refused(pods: Cluster) -> None:
    """Whoever adds one learns that it does not run, and what to do instead."""
    attempt(pods, "debug", "many", "--image=linnet/host", "-c", "bug", "--", "true")
    code, _, errors = attempt(pods, "logs", "many", "-c", "bug")
    assert code == 1
    assert "ephemeral containers are not offered by the local cluster: use kubectl exec" in errors
    path = "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}=StartError"
    pods.kubectl("wait", f"--for={path}", "pod/many", f"--timeout={LONG}s")


def test_port_forward_ends_with_its_pod(pods: Cluster) -> None:
    """It carries requests; when the pod is gone, the next one ends it with an error, and nothing hangs."""
    process = subprocess.Popen(
        ["kubectl", "port-forward", "pod/web", ":8080"],
        env=pods.variables,
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
    pods.kubectl("delete", "pod", "web", f"--timeout={LONG}s")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(url, timeout=LONG)
    _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "lost connection to pod" in errors
