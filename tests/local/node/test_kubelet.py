"""Pods on the local cluster, from their binding to their end."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from tests.local.node.cluster import LocalCluster, Object, fresh_namespace, local_cluster, until, until_gone

from linnet.kube.client import Client
from linnet.kube.kinds import CONFIG_MAP, EVENT, LEASE, NODE, POD, SECRET

pytestmark = pytest.mark.wired

_numbers = itertools.count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    yield from local_cluster()


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with cluster.client() as opened:
        yield opened


@pytest_asyncio.fixture
async def namespace(client: Client) -> str:
    return await fresh_namespace(client, f"t{next(_numbers)}")


def shell(script: str, **more: Any) -> Object:
    """A container that runs a script."""
    return {"name": "main", "image": "linnet/host", "command": ["sh", "-c", script], **more}


async def run(client: Client, namespace: str, *containers: Object, name: str = "p", **spec: Any) -> Object:
    made = {"terminationGracePeriodSeconds": 2, **spec, "containers": list(containers)}
    return await client.create(POD, {"metadata": {"name": name, "namespace": namespace}, "spec": made})


def state(pod: Object, index: int = 0, kind: str = "containerStatuses") -> Object:
    found = (pod.get("status") or {}).get(kind) or []
    return found[index]["state"] if len(found) > index else {}


def running(pod: Object) -> bool:
    return "running" in state(pod)


def restarts(pod: Object) -> int:
    found = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return int(found[0].get("restartCount", 0))


def ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())


def ended(pod: Object) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


async def log(client: Client, namespace: str, name: str = "p", **params: str) -> str:
    return (await client.raw("GET", POD.path(namespace, name, "log"), params=params)).decode()


async def events(client: Client, namespace: str) -> set[tuple[str, str, str]]:
    found = (await client.list(EVENT, namespace)).items
    return {(event["type"], event["reason"], event["message"]) for event in found}


async def delete(client: Client, namespace: str, *, grace: int | None = None, name: str = "p") -> None:
    await client.delete(POD, name, namespace, grace_seconds=grace)


# -- the node ---------------------------------------------------------------


async def test_the_node_is_registered_and_beats(client: Client) -> None:
    """It is Ready, says where its kubelet is, and renews its Lease."""
    node = await client.get(NODE, "node-1")
    assert {address["type"]: address["address"] for address in node["status"]["addresses"]} == {
        "InternalIP": "10.244.0.1",
        "Hostname": "node-1",
    }
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    lease = await client.get(LEASE, "node-1", "kube-node-lease")
    renewed = lease["spec"]["renewTime"]
    await until(
        client,
        LEASE,
        "node-1",
        "kube-node-lease",
        lambda obj: obj["spec"]["renewTime"] != renewed,
        seconds=15,
    )


# -- how containers run -------------------------------------------------------


async def test_a_pod_becomes_ready_and_says_so(client: Client, namespace: str) -> None:
    """Status and events are those of a kubelet 1.35."""
    await run(client, namespace, shell("echo started; exec sleep 100"))
    pod = await until(client, POD, "p", namespace, ready)
    assert pod["status"]["podIP"].startswith("10.244.0.")
    assert pod["status"]["phase"] == "Running"
    assert await log(client, namespace) == "started\n"
    seen = await _events_until(client, namespace, "Started")
    image = 'Container image "linnet/host" already present on machine and can be accessed by the pod'
    assert {("Normal", "Pulled", image), ("Normal", "Created", "Container created")} < seen
    assert ("Normal", "Started", "Container started") in seen


async def _events_until(
    client: Client, namespace: str, reason: str, message: str = ""
) -> set[tuple[str, str, str]]:
    """All events, once there is one for a reason, with a message that begins so."""
    async with asyncio.timeout(60):
        while True:
            seen = await events(client, namespace)
            if any(event[1] == reason and event[2].startswith(message) for event in seen):
                return seen
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")])
async def test_a_pod_that_never_restarts_ends(
    client: Client, namespace: str, code: int, phase: str, reason: str
) -> None:
    """Exit code, reason and last words are in the status; the pod is not ready."""
    words = shell(f"echo out; echo last words > /dev/termination-log; exit {code}")
    await run(client, namespace, words, restartPolicy="Never")
    pod = await until(client, POD, "p", namespace, ended)
    assert pod["status"]["phase"] == phase
    terminated = state(pod)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (code, reason)
    assert terminated["message"] == "last words\n"
    assert not ready(pod)


async def test_the_log_stands_in_for_last_words(client: Client, namespace: str) -> None:
    """With FallbackToLogsOnError, and only for failures."""
    container = shell("echo it broke; exit 1", terminationMessagePolicy="FallbackToLogsOnError")
    await run(client, namespace, container, restartPolicy="Never")
    pod = await until(client, POD, "p", namespace, ended)
    assert state(pod)["terminated"]["message"] == "it broke\n"


async def test_a_crashing_container_backs_off(client: Client, namespace: str) -> None:
    """It is started again at once, then waits as CrashLoopBackOff; the previous log is kept."""
    await run(client, namespace, shell("echo bye; exit 3"))
    pod = await until(
        client, POD, "p", namespace, lambda p: state(p).get("waiting", {}).get("reason") == "CrashLoopBackOff"
    )
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    label = f"p_{namespace}({pod['metadata']['uid']})"
    assert (
        status["state"]["waiting"]["message"] == f"back-off 10s restarting failed container=main pod={label}"
    )
    assert pod["status"]["phase"] == "Running"
    assert await log(client, namespace, previous="true") == "bye\n"
    seen = await events(client, namespace)
    assert ("Warning", "BackOff", f"Back-off restarting failed container main in pod {label}") in seen


async def test_an_unknown_image_is_pulled_in_vain_until_it_is_known(client: Client, namespace: str) -> None:
    """D28: ErrImagePull, then ImagePullBackOff; the words name the way out."""
    await run(client, namespace, {"name": "main", "image": "registry.invalid/none:1"})
    await until(client, POD, "p", namespace, lambda p: _waiting(p) == "ErrImagePull")
    pod = await until(client, POD, "p", namespace, lambda p: _waiting(p) == "ImagePullBackOff")
    assert pod["status"]["phase"] == "Pending"
    assert "--images" in state(pod)["waiting"]["message"]
    assert any(
        "--images" in message for _, reason, message in await events(client, namespace) if reason == "Failed"
    )


def _waiting(pod: Object) -> str:
    return str(state(pod).get("waiting", {}).get("reason", ""))


async def test_a_program_that_does_not_exist_is_a_start_error(client: Client, namespace: str) -> None:
    """As with a container engine: code 128, and the program is named."""
    await run(client, namespace, {**shell(""), "command": ["no-such-program"]}, restartPolicy="Never")
    pod = await until(client, POD, "p", namespace, ended)
    terminated = state(pod)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (128, "StartError")
    assert 'exec: "no-such-program": executable file not found in $PATH' in terminated["message"]


async def test_init_containers_run_in_order_and_sidecars_end_last(client: Client, namespace: str) -> None:
    """One after the other; the sidecar runs before and after the others; TERM in that order."""
    mounts = [{"name": "v", "mountPath": "/v"}]

    def traced(name: str, script: str, **more: Any) -> Object:
        return {**shell(script), "name": name, "volumeMounts": mounts, **more}

    def long(name: str) -> str:
        goodbye = f'trap "echo {name}-end >> /v/log; exit 0" TERM'
        return f"{goodbye}; echo {name} >> /v/log; while :; do sleep 0.05; done"

    await run(
        client,
        namespace,
        traced("main", long("main")),
        initContainers=[
            traced("first", "echo first >> /v/log"),
            traced("side", f"{long('side')}", restartPolicy="Always"),
            traced("second", "echo second >> /v/log"),
            traced("watcher", 'trap "cat /v/log; exit 0" TERM; while :; do sleep 0.05; done')
            | {"restartPolicy": "Always"},
        ],
        volumes=[{"name": "v", "emptyDir": {}}],
        terminationGracePeriodSeconds=10,
    )
    pod = await until(client, POD, "p", namespace, ready)
    assert [entry["name"] for entry in pod["status"]["initContainerStatuses"]] == [
        "first",
        "side",
        "second",
        "watcher",
    ]
    follow = asyncio.create_task(log(client, namespace, container="side", follow="true"))
    await delete(client, namespace)
    await until_gone(client, "p", namespace)
    await follow


async def test_a_container_starts_when_the_hook_of_the_one_before_it_is_over(
    client: Client, namespace: str
) -> None:
    """What waits for its proxy is ordered by this; who has no image yet keeps nobody waiting."""
    mounts = [{"name": "v", "mountPath": "/v"}]
    hook = {"exec": {"command": ["sh", "-c", "sleep 0.5; echo hooked >> /v/log"]}}
    long = "while :; do sleep 0.05; done"
    first = shell(long, lifecycle={"postStart": hook}, volumeMounts=mounts)
    missing = {**shell(long), "name": "missing", "image": "example.test/missing"}
    last = {**shell(f"cat /v/log; {long}", volumeMounts=mounts), "name": "last"}
    await run(client, namespace, first, missing, last, volumes=[{"name": "v", "emptyDir": {}}])
    await until(client, POD, "p", namespace, lambda pod: "running" in state(pod))  # sorted by name
    assert await log(client, namespace, container="last", follow="false") == "hooked\n"
    assert "waiting" in state(await client.get(POD, "p", namespace), 2)


async def test_a_job_like_pod_ends_its_sidecars(client: Client, namespace: str) -> None:
    """When all other containers are done, the sidecar is ended and the pod has succeeded."""
    side = {
        **shell('trap "exit 0" TERM; while :; do sleep 0.05; done'),
        "name": "side",
        "restartPolicy": "Always",
    }
    await run(client, namespace, shell("sleep 0.2"), initContainers=[side], restartPolicy="Never")
    pod = await until(client, POD, "p", namespace, ended)
    assert pod["status"]["phase"] == "Succeeded"
    assert "terminated" in state(pod, kind="initContainerStatuses")


async def test_a_failed_init_container_is_tried_again(client: Client, namespace: str) -> None:
    """The containers wait as PodInitializing meanwhile."""
    init = {**shell("exit 1"), "name": "init"}
    await run(client, namespace, shell("sleep 100"), initContainers=[init])
    pod = await until(
        client,
        POD,
        "p",
        namespace,
        lambda p: p["status"].get("initContainerStatuses", [{}])[0].get("restartCount", 0) > 0,
    )
    assert _waiting(pod) == "PodInitializing"
    assert pod["status"]["phase"] == "Pending"


# -- probes -------------------------------------------------------------------


async def test_readiness_follows_the_probe(client: Client, namespace: str) -> None:
    """It comes and goes with the answer; nothing is restarted."""
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "touch /tmp/ready; sleep 1.5; rm /tmp/ready; sleep 100"
    await run(client, namespace, shell(script, readinessProbe=probe))
    await until(client, POD, "p", namespace, ready)
    pod = await until(client, POD, "p", namespace, lambda p: not ready(p))
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    await _events_until(client, namespace, "Unhealthy", "Readiness probe failed:")


async def test_http_probes_name_the_code(client: Client, namespace: str) -> None:
    """The kubelet's words."""
    server = {**shell(""), "command": ["python3", "-m", "http.server", "--directory", "/srv", "8080"]}
    probe = {"httpGet": {"path": "/no", "port": "web"}, "periodSeconds": 1}
    ports = [{"name": "web", "containerPort": 8080}]
    await run(client, namespace, {**server, "readinessProbe": probe, "ports": ports})
    said = "Readiness probe failed: HTTP probe failed"  # until it listens, the probe says something else
    seen = await _events_until(client, namespace, "Unhealthy", said)
    assert ("Warning", "Unhealthy", f"{said} with statuscode: 404") in seen


async def test_a_failed_liveness_probe_restarts_the_container(client: Client, namespace: str) -> None:
    """TERM first, as with any end; the event says why."""
    probe = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}
    await run(
        client, namespace, shell('trap "exit 7" TERM; while :; do sleep 0.05; done', livenessProbe=probe)
    )
    pod = await until(
        client,
        POD,
        "p",
        namespace,
        lambda p: restarts(p) == 1,
    )
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 7
    seen = await _events_until(client, namespace, "Killing")
    assert ("Normal", "Killing", "Container main failed liveness probe, will be restarted") in seen
    assert any(reason == "Unhealthy" and "connection refused" in message for _, reason, message in seen)


async def test_other_probes_wait_for_the_startup_probe(client: Client, namespace: str) -> None:
    """A slow start is not killed by the liveness probe."""
    startup = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    liveness = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}
    await run(
        client,
        namespace,
        shell("sleep 2; touch /tmp/up; sleep 100", startupProbe=startup, livenessProbe=liveness),
    )
    pod = await until(client, POD, "p", namespace, ready)
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert pod["status"]["containerStatuses"][0]["started"]


# -- the end ------------------------------------------------------------------


async def test_the_end_is_hook_then_term(client: Client, namespace: str) -> None:
    """preStop first, then TERM; the container has time to say goodbye, and its log is complete."""
    container = shell(
        'trap "cat /tmp/hook; echo term; exit 0" TERM; echo up; while :; do sleep 0.05; done',
        lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "sleep 0.3; echo hook > /tmp/hook"]}}},
    )
    await run(client, namespace, container, terminationGracePeriodSeconds=20)
    await until(client, POD, "p", namespace, ready)
    said, begun = bytearray(), asyncio.Event()

    async def follow() -> None:
        stream = client.stream("GET", POD.path(namespace, "p", "log"), params={"follow": "true"})
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                said.extend(chunk)
                begun.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await begun.wait()
        await delete(client, namespace)
        await until_gone(client, "p", namespace)
    assert said == b"up\nhook\nterm\n"
    assert ("Normal", "Killing", "Stopping container main") in await events(client, namespace)


@pytest.mark.parametrize(("grace", "again"), [(1, None), (60, 1)])
async def test_grace_is_the_longest_that_it_takes(
    client: Client, namespace: str, grace: int, again: int | None
) -> None:
    """A container that ignores TERM is killed; a second deletion may shorten the wait."""
    await run(
        client,
        namespace,
        shell('trap "" TERM; while :; do sleep 0.05; done'),
        terminationGracePeriodSeconds=grace,
    )
    await until(client, POD, "p", namespace, ready)
    begun = asyncio.get_running_loop().time()
    await delete(client, namespace)
    if again is not None:
        await delete(client, namespace, grace=again)
    await until_gone(client, "p", namespace)
    assert 0.9 < asyncio.get_running_loop().time() - begun < 5


async def test_a_forced_deletion_leaves_nothing(client: Client, namespace: str) -> None:
    """The object goes at once; the same name can be used again while the old processes end."""
    await run(client, namespace, shell('trap "" TERM; while :; do sleep 0.05; done'))
    old = await until(client, POD, "p", namespace, ready)
    await delete(client, namespace, grace=0)
    await run(client, namespace, shell("sleep 100"))
    new = await until(
        client, POD, "p", namespace, lambda p: p["metadata"]["uid"] != old["metadata"]["uid"] and ready(p)
    )
    assert new["status"]["containerStatuses"][0]["restartCount"] == 0


# -- what a pod takes from the API -----------------------------------------------


async def test_volumes_follow_their_objects(client: Client, namespace: str) -> None:
    """A changed ConfigMap and a changed label arrive while the container runs."""
    await client.create(CONFIG_MAP, {"metadata": {"name": "c", "namespace": namespace}, "data": {"k": "old"}})
    watcher = "until grep -q new /c/k && grep -q two /l/labels; do sleep 0.05; done; cat /c/k; echo; sleep 99"
    mounts = [{"name": "c", "mountPath": "/c"}, {"name": "l", "mountPath": "/l"}]
    labels = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}
    volumes = [{"name": "c", "configMap": {"name": "c"}}, {"name": "l", "downwardAPI": labels}]
    await run(client, namespace, shell(watcher, volumeMounts=mounts), volumes=volumes)
    await until(client, POD, "p", namespace, ready)
    await client.patch(CONFIG_MAP, "c", namespace, {"data": {"k": "new"}})
    await client.patch(POD, "p", namespace, {"metadata": {"labels": {"n": "two"}}})
    async with asyncio.timeout(5):
        assert await log(client, namespace, follow="true", limitBytes="4") == "new\n"


async def test_what_is_missing_is_waited_for(client: Client, namespace: str) -> None:
    """A volume and a variable that do not exist yet hold the pod up, with an event, until they do."""
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "k"}}}]
    container = shell('echo "$X"; sleep 100', env=env, volumeMounts=[{"name": "s", "mountPath": "/s"}])
    await run(client, namespace, container, volumes=[{"name": "s", "secret": {"secretName": "s"}}])
    seen = await _events_until(client, namespace, "FailedMount")
    assert (
        "Warning",
        "FailedMount",
        'MountVolume.SetUp failed for volume "s" : secret "s" not found',
    ) in seen
    await client.create(SECRET, {"metadata": {"name": "s", "namespace": namespace}, "stringData": {"a": "b"}})
    pod = await until(client, POD, "p", namespace, lambda p: _waiting(p) == "CreateContainerConfigError")
    assert state(pod)["waiting"]["message"] == 'configmap "later" not found'
    await client.create(
        CONFIG_MAP, {"metadata": {"name": "later", "namespace": namespace}, "data": {"k": "v"}}
    )
    await until(client, POD, "p", namespace, ready, seconds=3)
    assert await log(client, namespace) == "v\n"


async def test_tokens_are_for_their_audience(client: Client, namespace: str) -> None:
    """A projected token is one of the pod's service account, for the audience that was named."""
    token = {"serviceAccountToken": {"path": "t", "audience": "istio-ca", "expirationSeconds": 3600}}
    volumes = [{"name": "t", "projected": {"sources": [token]}}]
    await run(
        client,
        namespace,
        shell("echo $(cat /t/t); sleep 100", volumeMounts=[{"name": "t", "mountPath": "/t"}]),
        volumes=volumes,
    )
    await until(client, POD, "p", namespace, ready)
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": (await log(client, namespace)).strip(), "audiences": ["istio-ca"]},
    }
    answer = await client.raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=review)
    assert f'"username":"system:serviceaccount:{namespace}:default"' in answer.decode().replace(" ", "")


# -- through kubectl -------------------------------------------------------------


async def test_exec_carries_streams_and_the_exit_code(
    client: Client, namespace: str, cluster: LocalCluster
) -> None:
    """Input, both outputs, code; a terminal; a command that does not exist."""
    await run(client, namespace, shell("sleep 100"))
    await until(client, POD, "p", namespace, ready)

    async def kubectl(*words: str, stdin: str = "") -> tuple[int, str, str]:
        done = await asyncio.to_thread(cluster.kubectl, "exec", "-n", namespace, *words, stdin=stdin)
        return done.returncode, done.stdout, done.stderr

    assert await kubectl("p", "--", "sh", "-c", "echo out; echo err >&2; exit 3") == (
        3,
        "out\n",
        "err\ncommand terminated with exit code 3\n",
    )
    large = "0123456789abcdef\n" * 20_000
    assert await kubectl("-i", "p", "--", "cat", stdin=large) == (0, large, "")
    code, _, words = await kubectl("p", "--", "nosuchcmd")
    assert code == 1
    assert re.search(r'exec: "nosuchcmd": executable file not found in \$PATH: unknown$', words.strip())
    code, out, _ = await kubectl("p", "--", "sh", "-c", "hostname; cat /etc/resolv.conf")
    assert (code, out.splitlines()[:2]) == (
        0,
        ["p", f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local"],
    )


async def test_a_node_that_was_killed_runs_its_pods_again(
    client: Client, namespace: str, cluster: LocalCluster
) -> None:
    """Down and up again: the same pods, restarted once, in new sandboxes; what had ended stays ended."""
    await run(client, namespace, shell("echo up; sleep 100"))
    await run(client, namespace, shell("echo well"), name="done", restartPolicy="Never")
    await until(client, POD, "p", namespace, ready)
    await until(client, POD, "done", namespace, ended)
    await asyncio.to_thread(cluster.linnet, "local", "down")
    await asyncio.to_thread(cluster.linnet, "local", "up")
    async with cluster.client() as again:  # the port may be another one
        pod = await until(again, POD, "p", namespace, lambda p: ready(p) and restarts(p) == 1)
        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
        assert restarts(await again.get(POD, "done", namespace)) == 0
        assert await log(again, namespace, name="done") == "well\n"
        await _events_until(again, namespace, "SandboxChanged")
