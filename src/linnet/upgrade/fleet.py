"""The gateways of the mesh: who serves each one, and what would move it (pure).

Installed ones belong to an installation and are rendered for whoever serves them; injected ones are users'
Deployments with `inject.istio.io/templates: gateway`, and go where labels send their next pod.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from linnet.install.gateways import RECORD
from linnet.install.marks import COMPONENT, REV
from linnet.install.plane import EGRESS, INGRESS, NAME
from linnet.kube.kinds import DEPLOYMENT
from linnet.kube.selectors import matches
from linnet.upgrade.injection import decides, injectors, labels_of, revision_label
from linnet.upgrade.workloads import DAEMON_SET, workload

INSTALLED = frozenset({INGRESS, EGRESS})
CANONICAL_NAME = "service.istio.io/canonical-name"  # of a gateway's pods: the name of the gateway
TEMPLATES = "inject.istio.io/templates"

Object = Mapping[str, Any]


class Way(StrEnum):
    """How a gateway gets to a revision."""

    RENDER = "render"  # its objects are applied as that revision has them
    LABEL = "label"  # the label of its own template names the revision
    RESTART = "restart"  # its next pod goes there anyway


class Gateway(Struct, frozen=True):
    """One gateway. Revisions are as labels write them."""

    namespace: str
    name: str
    kind: str  # of the workload: Deployment or DaemonSet
    component: str  # IngressGateways or EgressGateways; empty: it is injected
    touched: frozenset[str]  # every revision that an object or pod of it still names
    served_by: tuple[str, ...]  # the revisions of its pods
    next: str  # the revision of its next pod; empty: nobody would inject it
    ready: int
    wanted: int
    pods: tuple[str, ...] = ()  # `NAME.NAMESPACE`
    selector: Mapping[str, str] = {}  # of its pods
    decided_by: str = ""  # for injected ones: whose label decides, `namespace` or `pod`
    asks: str = ""  # for injected ones: the revision or tag in that label
    tag: str = ""  # the tag through which its next pod gets injected
    closes: str = ""  # why moving it would close it for a while; empty: it would not
    record: str = ""  # what `install` noted about it

    def __str__(self) -> str:
        """`NAME.NAMESPACE`."""
        return f"{self.name}.{self.namespace}"

    @property
    def installed(self) -> bool:
        """Whether an installation made it."""
        return bool(self.component)

    @property
    def restartable(self) -> bool:
        """Whether it is injected, and a restart replaces its pods one after the other."""
        return not self.installed and self.kind == DEPLOYMENT.name and not self.closes

    @property
    def own_label(self) -> str:
        """The revision that the label of its own template names, if that alone decides; else empty."""
        return self.asks if self.restartable and self.decided_by == "pod" and not self.tag else ""

    def way(self, revision: str) -> Way | None:
        """How to bring it to a revision without touching what is others'; None: see `remedy`."""
        if self.installed:
            return Way.RENDER
        if self.restartable and self.next == revision:
            return Way.RESTART
        own = self.own_label or (self.restartable and self.decided_by == "pod" and self.asks == NAME)
        return Way.LABEL if own else None

    def remedy(self, revision: str) -> str:
        """What moves it to a revision, as a command or in words."""
        where = f"{self.name}.{self.namespace}"
        if self.way(revision) is not None:
            return f"linnet gateway move {where} --to {revision}"
        if self.closes:
            return f"{self.closes}; use a rolling update, or restart it in another revision yourself"
        restart = f"kubectl rollout restart {self.kind.lower()} -n {self.namespace} {self.name}"
        if self.next == revision:
            return restart
        if self.tag and self.tag != NAME:
            return f"linnet tag set {self.tag} --revision {revision} --overwrite; {restart}"
        if self.decided_by == "namespace":
            gone = " istio-injection-" if self.asks == NAME else ""
            label = f"kubectl label namespace {self.namespace}{gone} {REV}={revision} --overwrite"
            return f"{label}; {restart}"
        return f"set the label {REV}={revision} on its pod template"


def fleet(
    objects: Iterable[Object],
    pods: Sequence[Object],
    namespaces: Iterable[Object],
    injecting: Sequence[Object],
    revision_of: Mapping[str, str],
) -> list[Gateway]:
    """All gateways, by namespace and name.

    `objects`: Deployments, DaemonSets and what an installation makes beside them. `injecting`: the injection
    webhooks. `revision_of`: the revision of each pod with a proxy, by `NAME.NAMESPACE`.
    """
    held = list(objects)
    found = _installed(held, pods)
    spaces = {space["metadata"]["name"]: labels_of(space) for space in namespaces}
    for obj in held:
        if obj["kind"] not in (DEPLOYMENT.name, DAEMON_SET.name) or labels_of(obj).get(COMPONENT):
            continue
        gateway = _injected(obj, pods, spaces, injecting, revision_of)
        if gateway is not None:
            found.append(gateway)
    return sorted(found, key=lambda gateway: (gateway.namespace, gateway.name))


def _installed(objects: Sequence[Object], pods: Sequence[Object]) -> list[Gateway]:
    """One for each name of which anything is left: hand-overs get interrupted."""
    parts: dict[tuple[str, str], list[Object]] = {}
    for obj in objects:
        if labels_of(obj).get(COMPONENT) in INSTALLED and obj["kind"] in _NAMED:
            parts.setdefault((obj["metadata"].get("namespace", ""), obj["metadata"]["name"]), []).append(obj)
    own: dict[tuple[str, str], list[Object]] = {}
    for pod in pods:
        if labels_of(pod).get(COMPONENT) in INSTALLED and labels_of(pod).get(CANONICAL_NAME):
            key = (pod["metadata"].get("namespace", ""), labels_of(pod)[CANONICAL_NAME])
            own.setdefault(key, []).append(pod)
    return [_of_parts(key, parts.get(key, []), own.get(key, [])) for key in sorted(parts.keys() | own.keys())]


_NAMED = frozenset({"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"})


def _of_parts(key: tuple[str, str], parts: Sequence[Object], pods: Sequence[Object]) -> Gateway:
    everything = [*parts, *pods]
    deployment = next((obj for obj in parts if obj["kind"] == DEPLOYMENT.name), None)
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    spec = (deployment or {}).get("spec") or {}
    return Gateway(
        namespace=key[0],
        name=key[1],
        kind=DEPLOYMENT.name,
        component=labels_of(everything[0])[COMPONENT],
        touched=frozenset(revision_label(obj) for obj in everything),
        served_by=tuple(sorted({revision_label(pod) for pod in pods if not _ended(pod)})),
        next=revision_label(template) if deployment else "",
        ready=sum(map(_ready, pods)),
        wanted=int(spec.get("replicas", 1)) if deployment else 0,
        pods=tuple(sorted(map(pod_id, pods))),
        selector=(spec.get("selector") or {}).get("matchLabels") or {},
        record=((deployment or {}).get("metadata", {}).get("annotations") or {}).get(RECORD, ""),
    )


def _injected(
    obj: Object,
    pods: Sequence[Object],
    spaces: Mapping[str, Mapping[str, str]],
    injecting: Sequence[Object],
    revision_of: Mapping[str, str],
) -> Gateway | None:
    made = workload(obj)
    if made is None or "gateway" not in _words(made.annotations.get(TEMPLATES, "")):
        return None
    space = spaces.get(made.namespace, {})
    selector = (obj.get("spec") or {}).get("selector") or {}
    own = [
        pod
        for pod in pods
        if pod["metadata"].get("namespace") == made.namespace
        and matches(selector, labels_of(pod))
        and not _ended(pod)
    ]
    serving = {revision_of.get(pod_id(pod), "") for pod in own} - {""}
    matching = injectors(injecting, space, made.template_labels)
    leads = matching[0] if matching else None
    decided_by, asks = decides(space, made.template_labels)
    return Gateway(
        namespace=made.namespace,
        name=made.name,
        kind=made.kind,
        component="",
        touched=frozenset(serving | ({leads.revision} if leads else set())),
        served_by=tuple(sorted(serving)),
        next=leads.revision if leads else "",
        ready=sum(map(_ready, own)),
        wanted=made.replicas if made.replicas is not None else len(own),
        pods=tuple(sorted(map(pod_id, own))),
        selector=selector.get("matchLabels") or {},
        decided_by=decided_by,
        asks=asks,
        tag=leads.tag if leads else "",
        closes=_closing(obj),
    )


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _closing(obj: Object) -> str:
    strategy = ((obj.get("spec") or {}).get("strategy") or {}).get("type")
    return "its strategy Recreate ends all pods before new ones start" if strategy == "Recreate" else ""


def pod_id(pod: Object) -> str:
    """`NAME.NAMESPACE`, as proxies are called."""
    return f"{pod['metadata']['name']}.{pod['metadata'].get('namespace', '')}"


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _ready(pod: Object) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in (pod.get("status") or {}).get("conditions") or ()
    )
