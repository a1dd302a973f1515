"""What stands in the way of an installation or an upgrade: facts about a cluster become findings (pure).

Codes are Istio's (IST…) where Istio's pre-check or analysis has the finding, else ours (LIN…).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

from msgspec import Struct

from linnet.cli.quantities import free, requests, shown
from linnet.install.legacy import LEGACY
from linnet.install.marks import REV, TAG_LABEL
from linnet.install.overlap import overlaps
from linnet.install.plane import NAME, Plane, suffixed
from linnet.install.skew import Level as Verdict
from linnet.install.skew import Proxy, Running, judge
from linnet.upgrade.calling import ROOT, ROOT_KEY, Targets, uncallable
from linnet.upgrade.health import dangling
from linnet.upgrade.injection import INJECTION, labels_of, unknown

MINIMUM = (1, 25)  # the first Kubernetes that serves everything that is installed
Object = Mapping[str, Any]


class Level(IntEnum):
    """How bad a finding is, as Istio's analysis names it."""

    Info = 0
    Warning = 1
    Error = 2


class Finding(Struct, frozen=True):
    """One thing, where it is, and what to do about it."""

    code: str
    level: Level
    origin: str  # `Namespace shop`, or empty: the cluster
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """A line as `istioctl analyze` writes it."""
        where = f" ({self.origin})" if self.origin else ""
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.level.name} [{self.code}]{where} {self.message}{remedy}"


class Facts(Struct, frozen=True):
    """What a cluster holds. `blocked`: why the old validator refuses everything; empty: it does not."""

    namespace: str
    kubernetes: str = ""  # `v1.35.4`
    forbidden: Sequence[str] = ()  # what the caller may not create
    namespaces: Sequence[Object] = ()
    injectors: Sequence[Object] = ()
    validators: Sequence[Object] = ()
    services: Sequence[Object] = ()
    slices: Sequence[Object] | None = None  # of the control plane's namespace; None: nobody looked
    config_maps: Sequence[Object] = ()  # of the control plane's namespace
    istio_objects: Sequence[Object] = ()  # those that have a label istio.io/rev
    nodes: Sequence[Object] = ()
    pods: Sequence[Object] = ()
    planes: Sequence[Running] = ()
    proxies: Sequence[Proxy] = ()
    blocked: str = ""


def check(facts: Facts, plane: Plane, *, from_version: str = "") -> list[Finding]:
    """All findings, the worst first. `plane` is what would be installed, from `from_version` if given."""
    found = [
        *_kubernetes(facts),
        *_permissions(facts),
        *_webhooks(facts),
        *_namespaces(facts),
        *_objects(facts),
        *_revisions(facts),
        *_versions(facts, plane, from_version),
        *_capacity(facts, plane),
    ]
    return sorted(found, key=lambda finding: (-finding.level, finding.code, finding.origin))


def _kubernetes(facts: Facts) -> Iterator[Finding]:
    from linnet.install.versions import parse

    version = parse(facts.kubernetes)
    if version and (version.major, version.minor) < MINIMUM:
        least = ".".join(map(str, MINIMUM))
        yield Finding(
            "IST0142",
            Level.Error,
            "",
            f"Kubernetes is {facts.kubernetes}, at least {least} is needed",
            "upgrade it",
        )


def _permissions(facts: Facts) -> Iterator[Finding]:
    for what in facts.forbidden:
        remedy = "ask for the right, or let somebody install who has it"
        yield Finding("IST0141", Level.Error, "", f"you may not create {what}", remedy)


def _webhooks(facts: Facts) -> Iterator[Finding]:
    hooks = [*facts.injectors, *facts.validators]
    for entry in dangling(hooks, facts.services, facts.namespace):
        if entry.webhook == LEGACY.format(facts.namespace):
            continue
        level = Level.Error if entry.blocks else Level.Warning
        remedy = "delete it, or let the tag name a revision that is there"
        yield Finding("IST0139", level, f"Webhook {entry.webhook}", str(entry), remedy)
    if facts.slices is not None:
        targets = Targets(facts.services, facts.slices, _roots(facts))
        for vain in uncallable(hooks, targets, facts.namespace):
            if vain.webhook == LEGACY.format(facts.namespace):
                continue
            level = Level.Error if vain.blocks else Level.Warning
            yield Finding("LIN0108", level, f"Webhook {vain.webhook}", str(vain), vain.remedy)
    for text in overlaps(facts.injectors, []):
        yield Finding("IST0139", Level.Error, "", text, "remove one of them, or relabel")
    if facts.blocked:
        message = f"the validator of an older Istio refuses every Istio object: {facts.blocked}"
        remedy = "linnet install removes it, or lets it pass"
        yield Finding("LIN0103", Level.Warning, f"Webhook {LEGACY.format(facts.namespace)}", message, remedy)


def _roots(facts: Facts) -> str:
    """The mesh's roots, as pods get them."""
    maps = (obj for obj in facts.config_maps if obj["metadata"]["name"] == ROOT)
    return next((str((obj.get("data") or {}).get(ROOT_KEY) or "") for obj in maps), "")


def _namespaces(facts: Facts) -> Iterator[Finding]:
    known = ", ".join(sorted(_names(facts))) or "none"
    for name, label in unknown(facts.injectors, facts.namespaces):
        message = f"label {REV}={label} names neither a revision nor a tag, so its pods get no proxy"
        remedy = f"kubectl label namespace {name} {REV}=OTHER --overwrite; there are: {known}"
        yield Finding("LIN0101", Level.Warning, f"Namespace {name}", message, remedy)
    for obj in facts.namespaces:
        labels, name = labels_of(obj), obj["metadata"]["name"]
        if {INJECTION, REV} <= set(labels):
            message = f"has both {INJECTION} and {REV}; the first decides"
            yield Finding(
                "IST0123",
                Level.Warning,
                f"Namespace {name}",
                message,
                f"kubectl label namespace {name} {INJECTION}-",
            )


def _names(facts: Facts) -> set[str]:
    """Revisions and tags."""
    found = set()
    for hook in facts.injectors:
        if labels_of(hook).get("app") == "sidecar-injector":
            found |= {labels_of(hook).get(REV, NAME), labels_of(hook).get(TAG_LABEL, "")}
    return found - {""}


def _objects(facts: Facts) -> Iterator[Finding]:
    names = _names(facts)
    for obj in facts.istio_objects:
        label, meta = labels_of(obj).get(REV), obj["metadata"]
        if label not in names:
            message = f"label {REV}={label} names neither a revision nor a tag, so no control plane reads it"
            what = f"{obj['kind'].lower()} {meta['name']} -n {meta['namespace']}"
            origin = f"{obj['kind']} {meta['name']}.{meta['namespace']}"
            yield Finding("LIN0102", Level.Warning, origin, message, f"kubectl label {what} {REV}-")


def _revisions(facts: Facts) -> Iterator[Finding]:
    there = {obj["metadata"]["name"] for obj in facts.config_maps}
    for hook in facts.injectors:
        labels = labels_of(hook)
        if labels.get("app") != "sidecar-injector" or TAG_LABEL in labels:
            continue
        revision = labels.get(REV, NAME)
        own = "" if revision == NAME else revision
        again = f"linnet install --revision {revision}"
        for name, effect in (
            ("istio-sidecar-injector", "it cannot inject"),
            ("istio", "its proxies have no mesh configuration"),
        ):
            if suffixed(name, own) not in there:
                message = f"ConfigMap {suffixed(name, own)} is missing: {effect}"
                yield Finding("LIN0106", Level.Error, f"Revision {revision}", message, again)
        if suffixed("values", own) not in there:
            message = f"ConfigMap {suffixed('values', own)} is missing: gateways cannot be handed back to it"
            yield Finding("LIN0107", Level.Info, f"Revision {revision}", message, again)


def _versions(facts: Facts, plane: Plane, from_version: str) -> Iterator[Finding]:
    planes = [*facts.planes, *([Running("--from-version", from_version)] if from_version else [])]
    for verdict in judge(plane.revision_name, plane.pilot_tag, planes, facts.proxies):
        level = Level.Error if verdict.level is Verdict.REFUSED else Level.Warning
        yield Finding("LIN0105", level, "", f"version {plane.pilot_tag} would be installed; {verdict.text}")


def _capacity(facts: Facts, plane: Plane) -> Iterator[Finding]:
    """Whether a second istiod fits on a node beside what runs, and what it takes (H28)."""
    needed = requests(_istiod_of(plane))
    room = {node: left for node, left in free(facts.nodes, facts.pods).items() if left}
    if not room:
        return
    proxies = len(facts.proxies)
    takes = f"a further istiod asks for {shown(needed)}, and watches the cluster a second time"
    if proxies:
        takes += f"; to move {proxies} {'proxy' if proxies == 1 else 'proxies'} each pod restarts once"
    best = max(room.items(), key=lambda item: (item[1].cpu, item[1].memory))
    fits = [node for node, left in room.items() if needed.cpu <= left.cpu and needed.memory <= left.memory]
    if fits:
        yield Finding("LIN0104", Level.Info, "", f"{takes}; it fits on {len(fits)} of {len(room)} nodes")
    else:
        message = f"{takes}; no node has that much left (most: {best[0]} with {shown(best[1])})"
        remedy = "add a node, or set components.pilot.k8s.resources"
        yield Finding("LIN0104", Level.Warning, "", message, remedy)


def _istiod_of(plane: Plane) -> Iterable[Object]:
    from linnet.install.pilot import deployment

    containers: Iterable[Object] = deployment(plane)["spec"]["template"]["spec"]["containers"]
    return containers
