"""Who still uses a revision: observed objects and streams become a list of names with remedies (pure).

Users are pods (by label, annotation or environment), templates whose next pod would be one (also those that
are scaled to nothing), live streams, tags, namespaces and webhooks.
Not users: pods that end, gateways that are handed over, the default tag when it moves in the same command.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.marks import COMPONENT, REV, SHARED, TAG_LABEL
from linnet.install.plane import NAME, suffixed
from linnet.install.webhooks import DEFAULT_TAG, DEFAULT_VALIDATOR
from linnet.upgrade.fleet import INSTALLED, pod_id
from linnet.upgrade.injection import INJECTION, labels_of, revision_label
from linnet.upgrade.workloads import workloads

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
    services: Sequence[Object] = ()
    workloads: Sequence[Object] = ()  # Deployments and other makers of pods
    slices: Sequence[Object] | None = None  # EndpointSlices; None: nobody looked
    roots: str = ""  # the mesh's roots in PEM; empty: not known


class User(Struct, frozen=True, order=True):
    """Somebody who would lose something; `why` in words, `remedy` what to do about it."""

    kind: str
    name: str
    why: str
    remedy: str = ""


class HandedOver(Struct, frozen=True):
    """What the same command moves: pods by `NAME.NAMESPACE`, workloads by (namespace, name)."""

    pods: frozenset[str] = frozenset()
    workloads: frozenset[tuple[str, str]] = frozenset()


NOTHING = HandedOver()


def users(
    observed: Observed,
    revision: str,
    *,
    default_moves: bool,
    handed: HandedOver = NOTHING,
    leaving: Iterable[tuple[str, str]] = (),
) -> list[User]:
    """Everybody who uses a revision (as labels write it), sorted, pods before streams, each proxy once.

    `default_moves`: the default tag and validator move or go in the same command. `leaving`: Services
    (namespace, name) that go, beside the one of its istiod.
    """
    names = {revision} | tags_of(observed, revision, without_default=default_moves)
    if default_moves and revision == NAME:
        names -= {NAME}  # namespaces that say `default` follow the tag
    pods = sorted(
        user for user in _pod_users(observed, revision, names | {revision}) if user.name not in handed.pods
    )
    known = {user.name for user in pods} | handed.pods
    ending = {pod_id(pod) for pod in observed.pods if _ends(pod)}
    gateways = {pod_id(pod) for pod in observed.pods if _is_gateway(pod)}
    streams = [
        User("proxy", proxy, f"connected to istiod of revision {revision}", "restart it in another revision")
        for proxy in sorted(observed.streams.get(revision) or frozenset())
        if proxy not in known and proxy not in ending and proxy not in gateways
    ]
    services = {(observed.namespace, suffixed("istiod", "" if revision == NAME else revision)), *leaving}
    return [
        *pods,
        *streams,
        *sorted(_workload_users(observed, revision, names, handed)),
        *sorted(_namespace_users(observed, names)),
        *sorted(_webhook_users(observed, revision, services, default_moves=default_moves)),
    ]


def tags_of(observed: Observed, revision: str, *, without_default: bool = False) -> set[str]:
    """The tags that point to a revision."""
    found = set()
    for obj in observed.injectors:
        labels = obj["metadata"].get("labels") or {}
        if labels.get(TAG_LABEL) and labels.get(REV, NAME) == revision:
            found.add(labels[TAG_LABEL])
    return found - {NAME} if without_default else found


def tagged(observed: Observed, tag: str) -> str:
    """The revision that a tag names; empty: there is no such tag."""
    hooks = (hook for hook in observed.injectors if labels_of(hook).get(TAG_LABEL) == tag)
    return next((revision_label(hook) for hook in hooks), "")


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


def revisions_of_pods(pods: Iterable[Object]) -> dict[str, str]:
    """The revision of every pod that has a proxy, by `NAME.NAMESPACE`."""
    return {pod_id(pod): revision for pod in pods if (revision := revision_of_pod(pod))}


def ending(pods: Iterable[Object], revision: str) -> list[str]:
    """The pods that are ending and have a proxy of this revision: they need their istiod until then."""
    return sorted(
        pod_id(pod)
        for pod in pods
        if pod["metadata"].get("deletionTimestamp") and revision_of_pod(pod) == revision
    )


def _status(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _ends(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return bool(pod["metadata"].get("deletionTimestamp")) or phase in ("Succeeded", "Failed")


def _is_gateway(pod: Object) -> bool:
    return labels_of(pod).get(COMPONENT) in INSTALLED


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
            yield User(
                "pod", pod_id(pod), why, "move its namespace or label to another revision and restart it"
            )


def _workload_users(observed: Observed, revision: str, names: set[str], handed: HandedOver) -> Iterable[User]:
    """Templates that hold a proxy of the revision, or whose own label leads to it."""
    spaces = {space["metadata"]["name"]: labels_of(space) for space in observed.namespaces}
    for made in workloads(observed.workloads):
        if made.labels.get(COMPONENT) or (made.namespace, made.name) in handed.workloads:
            continue
        space = spaces.get(made.namespace, {})
        template = {**made.template, "metadata": made.template.get("metadata") or {}}
        holds = revision_of_pod(template) == revision
        leads = made.template_labels.get(REV) in names and not {REV, INJECTION} & set(space)
        if holds or leads:
            what = (
                "its template holds a proxy of it" if holds else f"the label {REV} of its template names it"
            )
            count = "" if made.replicas is None else f" ({made.replicas} replicas)"
            remedy = f"change the label {REV} of its template" if leads else "inject its template anew"
            yield User(made.kind.lower(), f"{made.name}.{made.namespace}", what + count, remedy)


def _namespace_users(observed: Observed, names: set[str]) -> Iterable[User]:
    for namespace in observed.namespaces:
        labels = labels_of(namespace)
        if namespace["metadata"].get("deletionTimestamp"):
            continue  # no pod will be made in it; those that are there count themselves
        if labels.get(REV) in names and INJECTION not in labels:
            name = namespace["metadata"]["name"]
            remedy = f"kubectl label namespace {name} {REV}=OTHER --overwrite"
            yield User("namespace", name, f"its label {REV} is {labels[REV]}", remedy)


def _webhook_users(
    observed: Observed, revision: str, services: set[tuple[str, str]], *, default_moves: bool
) -> Iterable[User]:
    moving = (DEFAULT_TAG, f"{DEFAULT_TAG}-{observed.namespace}", DEFAULT_VALIDATOR)
    for obj in (*observed.injectors, *observed.validators):
        name, labels = obj["metadata"]["name"], labels_of(obj)
        own = (
            revision_label(obj) == revision
            and COMPONENT in labels
            and SHARED not in labels
            and TAG_LABEL not in labels
        )
        if own or is_legacy(obj, observed.namespace) or (default_moves and name in moving):
            continue
        called = sorted(
            {service for entry in obj.get("webhooks") or () if (service := calls(entry)) in services}
        )
        if called:
            tag = labels.get(TAG_LABEL)
            kind, shown = ("tag", tag) if tag and tag != NAME else ("webhook", name)
            remedy = (
                f"istioctl tag set {tag} --revision OTHER --overwrite"
                if kind == "tag"
                else "delete it or point it elsewhere"
            )
            yield User(kind, shown or name, f"it calls Service {called[0][1]}", remedy)


def is_legacy(obj: Object, namespace: str) -> bool:
    """Whether it is the one validator of Istio before 1.11: it goes with its Service."""
    return obj["metadata"]["name"] == f"istiod-{namespace}" and labels_of(obj).get("app") == "istiod"


def calls(entry: Object) -> tuple[str, str]:
    """The Service that a webhook entry calls, as (namespace, name); both empty: it calls a URL."""
    called = (entry.get("clientConfig") or {}).get("service") or {}
    return str(called.get("namespace", "")), str(called.get("name", ""))
