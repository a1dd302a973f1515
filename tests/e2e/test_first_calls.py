"""What a pod calls as soon as it starts is answered: a move restarts callers too, and none of it is lost."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.e2e.clusters import NEEDS_ROOT, Cluster, cluster, until

from linnet.kube.client import Client
from linnet.kube.kinds import POD, SERVICE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_ROOT]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    with cluster() as made:
        made.linnet("install", "--set", "profile=minimal", "-y")
        yield made


def made(name: str, namespace: str, notes: dict[str, str], **container: Any) -> dict[str, Any]:
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 4,
        "containers": [{"name": "main", **container}],
    }
    meta = {"name": name, "namespace": namespace, "labels": {"app": name}, "annotations": notes}
    return {"metadata": meta, "spec": spec}


@pytest.mark.parametrize("form", ["proxyv2", "proxyv2-agent"])
async def test_the_first_calls_of_a_pod_are_answered(
    form: str, client: Client, space: Callable[..., Any]
) -> None:
    """The load begins at once, and ends with code 1 if anything failed; in both forms of the agent."""
    namespace = await space(injection="enabled")
    notes = {} if form == "proxyv2" else {"sidecar.istio.io/proxyImage": f"linnet/{form}"}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    spec = {"selector": {"app": "web"}, "ports": ports}
    await client.create(SERVICE, {"metadata": {"name": "web", "namespace": namespace}, "spec": spec})
    await client.create(POD, made("web", namespace, notes, image="linnet/echo"))

    async def ready() -> bool:
        found = (await client.get(POD, "web", namespace)).get("status", {}).get("conditions") or ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in found)

    await until(ready)
    arguments = ["--target=http://web/", "--rate=20", "--new-connections=20", "--duration=1", "--timeout=60"]
    await client.create(POD, made("caller", namespace, notes, image="linnet/load", args=arguments))
    code: list[int] = []

    async def ended() -> bool:
        found = (await client.get(POD, "caller", namespace)).get("status", {}).get("containerStatuses") or ()
        code.extend(
            one["state"]["terminated"]["exitCode"]
            for one in found
            if one["name"] == "main" and "terminated" in one["state"]
        )
        return bool(code)

    await until(ended)
    said = await client.raw("GET", POD.path(namespace, "caller", "log"), params={"container": "main"})
    assert code[0] == 0, said.decode()
    await client.delete(POD, "caller", namespace)
    await client.delete(POD, "web", namespace)
