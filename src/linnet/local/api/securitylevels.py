"""The labels of a namespace that say which pod security level holds in it, enforced and warned about.

Source: Kubernetes, admission plug-in PodSecurity. Audit levels have no effect: there is no audit log.
"""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from linnet.local.api import podsecurity, refusals
from linnet.local.api.cluster import Cluster
from linnet.local.api.podsecurity import LEVELS, PREFIX, Violation
from linnet.local.api.registry import Resource

Json = dict[str, Any]
Warn = Callable[[str], None]

# Where the spec of the pods is in the spec of each workload.
_TEMPLATES = {
    "apps/deployments": ("template",),
    "apps/replicasets": ("template",),
    "apps/statefulsets": ("template",),
    "apps/daemonsets": ("template",),
    "replicationcontrollers": ("template",),
    "batch/jobs": ("template",),
    "batch/cronjobs": ("jobTemplate", "spec", "template"),
}


class Level(Struct, frozen=True):
    """A level in a version of the standards; the rules of the newest version hold for all of them."""

    name: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def level(labels: Json | None, mode: str) -> Level:
    """What the labels say for `enforce` or `warn`."""
    found = labels or {}
    name = found.get(PREFIX + mode, "privileged")
    version = found.get(f"{PREFIX}{mode}-version", "latest")
    return Level(name if name in LEVELS else "restricted", version)


def judge(cluster: Cluster, resource: Resource, namespace: str, obj: Json, warn: Warn) -> None:
    """Refuse a new Pod that breaks what its namespace enforces; warn of what it warns about.

    Raises: Refused 403.
    """
    path = _TEMPLATES.get(resource.name)
    if resource.name != "pods" and path is None:
        return
    found = cluster.find("namespaces", "", namespace) or {"metadata": {}}
    labels = found["metadata"].get("labels") or {}
    spec = obj["spec"] if path is None else _below(obj["spec"], path)
    if path is None:
        enforced = level(labels, "enforce")
        if broken := podsecurity.violations(spec, enforced.name):
            why = f'violates PodSecurity "{enforced}": {_shown(broken)}'
            raise refusals.forbidden(resource, obj["metadata"]["name"], why)
    warned = level(labels, "warn")
    if broken := podsecurity.violations(spec, warned.name):
        warn(f'would violate PodSecurity "{warned}": {_shown(broken)}')


def warn_of_pods(cluster: Cluster, new: Json, old: Json, warn: Warn) -> None:
    """Say which pods of a namespace break the level that it is about to enforce."""
    name = new["metadata"]["name"]
    wanted = level(new["metadata"].get("labels"), "enforce")
    if wanted == level(old["metadata"].get("labels"), "enforce"):
        return
    by_reasons: dict[str, list[str]] = {}
    for pod in cluster.objects("pods", name):
        if broken := podsecurity.violations(pod["spec"], wanted.name):
            reasons = ", ".join(one.reason for one in broken)
            by_reasons.setdefault(reasons, []).append(pod["metadata"]["name"])
    if not by_reasons:
        return
    warn(f'existing pods in namespace "{name}" violate the new PodSecurity enforce level "{wanted}"')
    for reasons, pods in sorted(by_reasons.items(), key=lambda item: item[1][0]):
        more = len(pods) - 1
        others = f" (and {more} other {'pod' if more == 1 else 'pods'})" if more else ""
        warn(f"{pods[0]}{others}: {reasons}")


def _shown(broken: Iterable[Violation]) -> str:
    return ", ".join(one.shown() for one in broken)


def _below(spec: Json, path: Iterable[str]) -> Json:
    for name in path:
        spec = spec.get(name) or {}
    found: Json = spec.get("spec") or {}
    return found
