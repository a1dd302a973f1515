"""Proof by dry run that a revision injects and validates, before anything depends on it.

A pod that must be injected is created, and an invalid Istio object that must be refused; nothing is stored.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from linnet.install.marks import REV, Object
from linnet.install.plane import Plane
from linnet.install.progress import Report
from linnet.install.ready import NotReady
from linnet.install.webhooks import UNTOUCHED, injector
from linnet.kube.client import Client
from linnet.kube.errors import ApiError, NotFound
from linnet.kube.kinds import GATEWAY, MUTATING_WEBHOOK, NAMESPACE, POD, VALIDATING_WEBHOOK

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


async def prove_injection(client: Client, plane: Plane, *, seconds: float, report: Report) -> list[str]:
    """Return when a pod that asks for the revision was seen to be injected; what could not be tested is said.

    Raises:
        NotReady: after `seconds`; the message holds what the API server said last.
    """
    report.working("Testing injection by dry run")
    namespace = test_namespace((await client.list(NAMESPACE)).items, plane.namespace)
    if not namespace:
        return ["injection not tested: every namespace already names a revision"]
    await _within(seconds, plane, lambda: _injects(client, plane, namespace))
    return []


async def prove_validation(client: Client, plane: Plane, *, seconds: float, report: Report) -> None:
    """Return when an invalid object was refused, validation fails closed, and injection can be called.

    Raises:
        NotReady: after `seconds`; the message holds what the API server said last.
    """
    report.working("Testing validation by dry run")
    await _within(
        seconds,
        plane,
        lambda: _refuses(client, plane),
        lambda: _fails_closed(client, plane),
        lambda: _has_bundle(client, plane),
    )


async def _within(seconds: float, plane: Plane, *attempts: Callable[[], Awaitable[str]]) -> None:
    last = ["nothing was tried"]
    try:
        async with asyncio.timeout(seconds):
            for attempt in attempts:
                await _until(last, attempt)
    except TimeoutError:
        raise NotReady(f"self-test of revision {plane.revision_name}: {last[0]}") from None


async def _until(last: list[str], attempt: Callable[[], Awaitable[str]]) -> None:
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


async def _has_bundle(client: Client, plane: Plane) -> str:
    name = injector(plane)["metadata"]["name"]
    try:
        live = await client.get(MUTATING_WEBHOOK, name)
    except NotFound:
        return f"{name} does not exist"
    if all((entry.get("clientConfig") or {}).get("caBundle") for entry in live.get("webhooks") or ()):
        return ""
    return f"istiod has not put its CA bundle into {name} yet"
