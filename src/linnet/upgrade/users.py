"""Who still uses a revision: observed objects and streams become a list of names with remedies (pure).

Users are pods (by label, annotation or environment), live streams, tags, namespaces and webhooks.
Not users: pods that end, gateways that are handed over, the default tag when it moves in the same command.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.marks import COMPONENT, REV, SHARED, TAG_LABEL
from linnet.install.plane import NAME, suffixed
from linnet.install.webhooks import DEFAULT_TAG, DEFAULT_VALIDATOR

_INJECTION = "istio-injection"
_STATUS = "sidecar.istio.io/status"

Object = Mapping[str, Any]


class Observed(Struct, frozen=True):
    """What there is now. `streams`: proxy IDs (`pod.namespace`) by revision; None: no istiod answered."""

    namespace: str
    pods: Sequence[Object] = ()
    namespaces: Sequence[Object] = ()
    injectors: Sequence[Object] = ()  # MutatingWebhookConfigurations
    validators: Sequence[Object] = ()  # ValidatingWebhookConfigurations
    streams: Mapping[str, frozenset[str] | None] = {}


class User(Struct, frozen=True, order=True):
    """Somebody who would lose something; `why` in words, `remedy` what to do about it."""

    kind: str
    name: str
    why: str
    remedy: str = ""


def users(observed: Observed, revision: str, *, default_moves: bool) -> list[User]:
    """Everybody who uses a revision (as labels write it), sorted, pods before streams, each proxy once.

    `default_moves`: the default tag and validator move or go in the same command.
    """
    names = {revision} | tags_of(observed, revision, without_default=default_moves)
    if default_moves and revision == NAME:
        names -= {NAME}  # namespaces that say `default` follow the tag
    pods = sorted(_pod_users(observed, revision, names | {revision}))
    known = {user.name for user in pods}
    ending = {_id(pod) for pod in observed.pods if _ends(pod)}
    gateways = {_id(pod) for pod in observed.pods if _is_gateway(pod)}
    streams = [
        User("proxy", proxy, f"connected to istiod of revision {revision}", "restart it in another revision")
        for proxy in sorted(observed.streams.get(revision) or frozenset())
        if proxy not in known and proxy not in ending and proxy not in gateways
    ]
    return [
        *pods,
        *streams,
        *sorted(_namespace_users(observed, names)),
        *sorted(_webhook_users(observed, revision, default_moves)),
    ]


def tags_of(observed: Observed, revision: str, *, without_default: bool = False) -> set[str]:
    """The tags that point to a revision."""
    found = set()
    for obj in observed.injectors:
        labels = obj["metadata"].get("labels") or {}
        if labels.get(TAG_LABEL) and labels.get(REV, NAME) == revision:
            found.add(labels[TAG_LABEL])
    return found - {NAME} if without_default else found


def revision_of_pod(pod: Object) -> str:
    """The revision of a pod's proxy (by status, annotation, environment, label); empty: no proxy."""
    metadata = pod["metadata"]
    annotated = metadata.get("annotations") or {}
    if text := annotated.get(_STATUS):
        return str(
            _status(text).get("revision")
            or annotated.get(REV)
            or (metadata.get("labels") or {}).get(REV, NAME)
        )
    for container in (pod.get("spec") or {}).get("containers") or ():
        if container.get("name") == "istio-proxy":
            address = next(
                (e.get("value", "") for e in container.get("env") or () if e["name"] == "CA_ADDR"), ""
            )
            service = address.partition(".")[0]
            if service.startswith("istiod-"):
                return service.removeprefix("istiod-")
            return NAME if service == "istiod" else annotated.get(REV, "")
    return ""


def ending(pods: Iterable[Object], revision: str) -> list[str]:
    """The pods that are ending and have a proxy of this revision: they need their istiod until then."""
    return sorted(
        _id(pod)
        for pod in pods
        if pod["metadata"].get("deletionTimestamp") and revision_of_pod(pod) == revision
    )


def _status(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _id(pod: Object) -> str:
    return f"{pod['metadata']['name']}.{pod['metadata'].get('namespace', '')}"


def _ends(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return bool(pod["metadata"].get("deletionTimestamp")) or phase in ("Succeeded", "Failed")


def _is_gateway(pod: Object) -> bool:
    return (pod["metadata"].get("labels") or {}).get(COMPONENT) in ("IngressGateways", "EgressGateways")


def _pod_users(observed: Observed, revision: str, names: set[str]) -> Iterable[User]:
    for pod in observed.pods:
        labels = pod["metadata"].get("labels") or {}
        if (
            _ends(pod)
            or _is_gateway(pod)
            or labels.get(COMPONENT) == "Pilot"
            or labels.get("app") == "istiod"
        ):
            continue
        served = revision_of_pod(pod)
        asked = labels.get(REV) in names and not served
        if served == revision or asked:
            why = "its proxy was injected by it" if served else f"its label {REV} names it"
            yield User("pod", _id(pod), why, "move its namespace or label to another revision and restart it")


def _namespace_users(observed: Observed, names: set[str]) -> Iterable[User]:
    for namespace in observed.namespaces:
        labels = namespace["metadata"].get("labels") or {}
        if labels.get(REV) in names and _INJECTION not in labels:
            name = namespace["metadata"]["name"]
            remedy = f"kubectl label namespace {name} {REV}=OTHER --overwrite"
            yield User("namespace", name, f"its label {REV} is {labels[REV]}", remedy)


def _webhook_users(observed: Observed, revision: str, default_moves: bool) -> Iterable[User]:
    service = suffixed("istiod", "" if revision == NAME else revision)
    moving = (DEFAULT_TAG, f"{DEFAULT_TAG}-{observed.namespace}", DEFAULT_VALIDATOR)
    for obj in (*observed.injectors, *observed.validators):
        name, labels = obj["metadata"]["name"], obj["metadata"].get("labels") or {}
        own = (
            labels.get(REV, NAME) == revision
            and COMPONENT in labels
            and SHARED not in labels
            and TAG_LABEL not in labels
        )
        if own or (default_moves and name in moving):
            continue
        if any(_calls(entry, service, observed.namespace) for entry in obj.get("webhooks") or ()):
            tag = labels.get(TAG_LABEL)
            kind, shown = ("tag", tag) if tag and tag != NAME else ("webhook", name)
            remedy = (
                f"istioctl tag set {tag} --revision OTHER --overwrite"
                if kind == "tag"
                else "delete it or point it elsewhere"
            )
            yield User(kind, shown or name, f"it calls Service {service}", remedy)


def _calls(entry: Object, service: str, namespace: str) -> bool:
    called = (entry.get("clientConfig") or {}).get("service") or {}
    return called.get("name") == service and called.get("namespace") == namespace
