"""Proof by dry run that a revision injects and validates, before anything depends on it.

A pod that must be injected is created, and an invalid Istio object that must be refused; nothing is stored.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from linnet.install.marks import REV, Object
from linnet.install.plane import Plane
from linnet.install.progress import Report
from linnet.install.ready import NotReady
from linnet.install.webhooks import UNTOUCHED
from linnet.kube.client import Client
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import GATEWAY, NAMESPACE, POD, VALIDATING_WEBHOOK

NAME = "linnet-self-test"
_FIRST, _LAST = 0.1, 2.0  # seconds between attempts


def test_pod(plane: Plane, namespace: str) -> Object:
    """A pod that asks for this revision by its label (pure)."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {REV: plane.revision_name, "app": NAME}},
        "spec": {"containers": [{"name": "main", "image": plane.image("pilot")}]},
    }


def invalid_object(plane: Plane) -> Object:
    """A Gateway that its schema allows and whose meaning is wrong: it has no servers (pure)."""
    return {
        "apiVersion": GATEWAY.api_version,
        "kind": GATEWAY.name,
        "metadata": {"name": NAME, "namespace": plane.namespace, "labels": {REV: plane.revision_name}},
        "spec": {"selector": {"istio": NAME}, "servers": []},
    }


def injecting_revision(pod: Mapping[str, Any]) -> str:
    """The revision that injected a pod, as its status annotation says; empty: none (pure)."""
    status = (pod["metadata"].get("annotations") or {}).get("sidecar.istio.io/status")
    return str(json.loads(status).get("revision", "")) if status else ""


def test_namespace(namespaces: Sequence[Mapping[str, Any]], preferred: str) -> str:
    """A namespace in which only a pod's own label decides who injects it; empty: there is none (pure)."""
    free = [
        ns["metadata"]["name"]
        for ns in namespaces
        if not {REV, "istio-injection"} & set(ns["metadata"].get("labels") or {})
        and ns["metadata"]["name"] not in UNTOUCHED
        and (ns.get("status") or {}).get("phase") != "Terminating"
    ]
    return preferred if preferred in free else next(iter(sorted(free)), "")


async def prove(client: Client, plane: Plane, *, injects: bool, seconds: float, report: Report) -> list[str]:
    """Return when injection and validation were seen to work; what could not be tested is said in the result.

    `injects`: whether any of the revision's webhooks matches pods now.

    Raises:
        NotReady: after `seconds`; the message holds what the API server said last.
    """
    notes = []
    report.working("Testing injection and validation by dry run")
    last = ["nothing was tried"]
    try:
        async with asyncio.timeout(seconds):
            namespace = test_namespace((await client.list(NAMESPACE)).items, plane.namespace)
            if injects and namespace:
                await _until(last, lambda: _injects(client, plane, namespace))
            elif not injects:
                notes.append("injection not tested: another revision is the default")
            else:
                notes.append("injection not tested: every namespace already names a revision")
            await _until(last, lambda: _refuses(client, plane))
            await _until(last, lambda: _fails_closed(client, plane))
    except TimeoutError:
        raise NotReady(f"self-test of revision {plane.revision_name}: {last[0]}") from None
    return notes


async def _until(last: list[str], attempt: Any) -> None:
    delay = _FIRST
    while reason := await attempt():
        last[0] = reason
        await asyncio.sleep(delay)
        delay = min(_LAST, delay * 2)


async def _injects(client: Client, plane: Plane, namespace: str) -> str:
    try:
        pod = await client.create(POD, test_pod(plane, namespace), dry_run=True)
    except ApiError as error:
        return f"a pod that revision {plane.revision_name} must inject was refused: {error}"
    found = injecting_revision(pod)
    if found == plane.revision_name:
        return ""
    return f"a pod that revision {plane.revision_name} must inject was injected by {found or 'nobody'}"


async def _refuses(client: Client, plane: Plane) -> str:
    try:
        await client.create(GATEWAY, invalid_object(plane), dry_run=True)
    except NotFound:
        return ""  # without CRDs there is nothing to validate
    except ApiError as error:
        return "" if "denied the request" in error.message else f"validation: {error}"
    return f"an invalid Gateway for revision {plane.revision_name} was not refused"


async def _fails_closed(client: Client, plane: Plane) -> str:
    name = f"{plane.named('istio-validator')}-{plane.namespace}"
    try:
        live = await client.get(VALIDATING_WEBHOOK, name)
    except NotFound:
        return f"{name} does not exist"
    if all(entry.get("failurePolicy") == "Fail" for entry in live.get("webhooks") or ()):
        return ""
    return f"istiod has not set {name} to Fail yet"
