"""What each revision is, who is on it, and whether its webhooks work (pure)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from linnet.install.marks import COMPONENT, DEACTIVATED, TAG_LABEL
from linnet.install.plane import NAME, suffixed
from linnet.kube.kinds import CONFIG_MAP, DEPLOYMENT, SERVICE
from linnet.upgrade.calling import Targets, Uncallable, uncallable
from linnet.upgrade.fleet import INSTALLED, Gateway
from linnet.upgrade.health import dangling
from linnet.upgrade.injection import entries, injectors, labels_of, revision_label
from linnet.upgrade.look import Seen
from linnet.upgrade.users import calls, revisions_of_pods, tags_of

Object = Mapping[str, Any]


class Istiod(Struct, frozen=True, order=True):
    """A pod of a control plane."""

    name: str
    phase: str
    ready: bool


class Revision(Struct, frozen=True):
    """One revision. `name` as labels write it; `proxies` is None where no istiod told its streams."""

    name: str
    version: str
    default: bool
    istiods: tuple[Istiod, ...]
    wanted: int  # replicas of its Deployment; 0: there is none
    tags: tuple[str, ...]
    namespaces: tuple[str, ...]  # whose pods it would inject
    pods: tuple[str, ...]  # NAME.NAMESPACE of the pods that it injected
    proxies: tuple[str, ...] | None  # connected to it, gateways included
    gateways: tuple[str, ...]
    webhooks: tuple[str, ...]  # its own, and its tags'
    problems: tuple[str, ...]  # what is wrong with it, in words

    @property
    def ready(self) -> int:
        """How many istiods are ready."""
        return sum(istiod.ready for istiod in self.istiods)


def revisions(seen: Seen) -> list[Revision]:
    """All revisions of which anything is there, the default first, then by name."""
    observed = seen.observed
    names = set(seen.present) | {_tagged(hook) for hook in observed.injectors} - {""}
    served = revisions_of_pods(pod for pod in observed.pods if _lives(pod))
    gateways = seen.gateways
    found = [_revision(seen, name, served, gateways) for name in names]
    return sorted(found, key=lambda revision: (not revision.default, revision.name))


def _tagged(hook: Object) -> str:
    return revision_label(hook) if labels_of(hook).get(TAG_LABEL) else ""


def _revision(seen: Seen, name: str, served: Mapping[str, str], gateways: Sequence[Gateway]) -> Revision:
    observed = seen.observed
    deployment = next((obj for obj in _own(seen, name) if obj["kind"] == DEPLOYMENT.name), None)
    istiods = [
        Istiod(pod["metadata"]["name"], (pod.get("status") or {}).get("phase", "Unknown"), _ready(pod))
        for pod in observed.pods
        if labels_of(pod).get("app") == "istiod"
        and revision_label(pod) == name
        and pod["metadata"].get("namespace") == observed.namespace
    ]
    streams = observed.streams.get(name)
    own_gateways = [gateway for gateway in gateways if name in gateway.served_by]
    pods_of_gateways = {pod for gateway in own_gateways for pod in gateway.pods}
    hooks = [
        hook
        for hook in (*observed.injectors, *observed.validators)
        if revision_label(hook) == name and (COMPONENT in labels_of(hook) or TAG_LABEL in labels_of(hook))
    ]
    return Revision(
        name=name,
        version=_version(deployment),
        default=seen.default == name,
        istiods=tuple(sorted(istiods)),
        wanted=int((deployment.get("spec") or {}).get("replicas", 1)) if deployment else 0,
        tags=tuple(sorted(tags_of(observed, name))),
        namespaces=tuple(sorted(_namespaces(seen, name))),
        pods=tuple(sorted(p for p, r in served.items() if r == name and p not in pods_of_gateways)),
        proxies=None if streams is None else tuple(sorted(streams)),
        gateways=tuple(map(str, own_gateways)),
        webhooks=tuple(hook["metadata"]["name"] for hook in hooks),
        problems=tuple(_problems(seen, name, deployment, hooks)),
    )


def _own(seen: Seen, name: str) -> Iterable[Object]:
    for kind in (DEPLOYMENT, SERVICE, CONFIG_MAP):
        for obj in seen.objects.get(kind, ()):
            component = labels_of(obj).get(COMPONENT)
            if revision_label(obj) == name and component not in INSTALLED and TAG_LABEL not in labels_of(obj):
                yield obj


def _version(deployment: Object | None) -> str:
    if deployment is None:
        return ""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    noted = labels_of(deployment).get("operator.istio.io/version", "")
    return str(containers[0]["image"].rpartition(":")[2] or noted)


def _namespaces(seen: Seen, name: str) -> Iterable[str]:
    """Namespaces whose pods (that say nothing themselves) the revision injects, by the live webhooks."""
    hooks = seen.observed.injectors
    for namespace in seen.observed.namespaces:
        matching = injectors(hooks, labels_of(namespace), {})
        if matching and matching[0].revision == name:
            yield namespace["metadata"]["name"]


def _problems(seen: Seen, name: str, deployment: Object | None, hooks: Sequence[Object]) -> Iterable[str]:
    suffix = "" if name == NAME else name
    held = {(obj["kind"], obj["metadata"]["name"]) for obj in _own(seen, name)}
    service = suffixed("istiod", suffix)
    if deployment is None:
        yield f"Deployment {service} is missing"
    elif (deployment.get("spec") or {}).get("replicas", 1) == 0:
        scale = f"kubectl scale deployment -n {seen.observed.namespace} {service} --replicas 1"
        yield f"Deployment {service} is scaled to 0: {scale}"
    elif not (deployment.get("status") or {}).get("readyReplicas"):
        yield f"no istiod is ready: kubectl describe pods -n {seen.observed.namespace} -l istio.io/rev={name}"
    for kind, wanted in (
        (SERVICE, service),
        (CONFIG_MAP, suffixed("istio", suffix)),
        (CONFIG_MAP, suffixed("istio-sidecar-injector", suffix)),
    ):
        if deployment is not None and (kind.name, wanted) not in held:
            yield f"{kind.name} {wanted} is missing"
    own = [hook for hook in hooks if TAG_LABEL not in labels_of(hook)]
    for hook_kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        if deployment is not None and not any(hook["kind"] == hook_kind for hook in own):
            yield f"its {hook_kind} is missing"
    left = dangling(hooks, seen.observed.services, seen.observed.namespace)
    gone = [entry for entry in left if deployment is None and entry.service.startswith(f"{service}.")]
    if any(entry.blocks for entry in gone):
        again = f"linnet install --revision {name}, or linnet uninstall --revision {name}"
        yield f"its webhooks are left without it, so pods that ask for it are refused: {again}"
    yield from (str(entry) for entry in left if entry not in gone)
    vain = _uncallable(seen, hooks)
    yield from map(str, vain)
    yield from _faults(hooks, {found.webhook for found in vain})


def _uncallable(seen: Seen, hooks: Sequence[Object]) -> list[Uncallable]:
    observed = seen.observed
    if observed.slices is None:
        return []
    targets = Targets(observed.services, observed.slices, observed.roots)
    return uncallable(hooks, targets, observed.namespace)


def _faults(hooks: Sequence[Object], said: Collection[str]) -> Iterable[str]:
    """What else is wrong with webhooks; of those in `said` it is known that nobody can call them."""
    for hook in hooks:
        name = hook["metadata"]["name"]
        unsigned = [e for e in hook.get("webhooks") or () if calls(e)[1] and not _bundle(e)]
        if unsigned and name not in said:
            yield f"{name}: no CA bundle yet, so the API server cannot call it"
        if hook["kind"] == "ValidatingWebhookConfiguration" and any(
            entry.get("failurePolicy") == "Ignore" for entry in hook.get("webhooks") or ()
        ):
            yield f"{name}: failurePolicy is Ignore, so what it cannot check is accepted"


def _bundle(entry: Object) -> str:
    return str((entry.get("clientConfig") or {}).get("caBundle") or "")


def deactivated(hook: Object) -> bool:
    """Whether an injector matches nothing, because the default tag does its work."""
    found = entries(hook)
    return bool(found) and all(
        DEACTIVATED in ((entry.get("namespaceSelector") or {}).get("matchLabels") or {}) for entry in found
    )


def _lives(pod: Object) -> bool:
    over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not over and not pod["metadata"].get("deletionTimestamp")


def _ready(pod: Object) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in (pod.get("status") or {}).get("conditions") or ()
    )
