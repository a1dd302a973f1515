"""What makes pods: the templates of workloads, those that are scaled to nothing included (pure)."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from linnet.kube.kinds import DEPLOYMENT, REPLICA_SET, Kind

STATEFUL_SET = Kind("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SET = Kind("apps", "v1", "daemonsets", "DaemonSet")
JOB = Kind("batch", "v1", "jobs", "Job")
CRON_JOB = Kind("batch", "v1", "cronjobs", "CronJob")
WORKLOADS: tuple[Kind, ...] = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, REPLICA_SET, CRON_JOB, JOB)

Object = Mapping[str, Any]


class Workload(Struct, frozen=True):
    """A pod template and whose it is. `replicas` is None where the kind has no such number."""

    kind: str
    namespace: str
    name: str
    replicas: int | None
    labels: Mapping[str, str]  # of the workload itself
    template: Object  # metadata and spec, as of a pod

    @property
    def template_labels(self) -> Mapping[str, str]:
        """The labels of its pods before injection."""
        return (self.template.get("metadata") or {}).get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of its pods before injection."""
        return (self.template.get("metadata") or {}).get("annotations") or {}


def workload(obj: Object) -> Workload | None:
    """The workload that an object is; None for what another one owns, what ends, or a Job that is over."""
    meta, spec, kind = obj["metadata"], obj.get("spec") or {}, obj["kind"]
    owned = any(owner.get("controller") for owner in meta.get("ownerReferences") or ())
    over = kind == JOB.name and any(
        condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
        for condition in (obj.get("status") or {}).get("conditions") or ()
    )
    if owned or over or meta.get("deletionTimestamp"):
        return None
    if kind == CRON_JOB.name:
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    counted = kind in (DEPLOYMENT.name, STATEFUL_SET.name, REPLICA_SET.name)
    return Workload(
        kind=kind,
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        replicas=int(spec.get("replicas", 1)) if counted else None,
        labels=meta.get("labels") or {},
        template=spec.get("template") or {},
    )


def workloads(objects: Iterable[Object]) -> list[Workload]:
    """All workloads among the objects."""
    return [found for obj in objects if (found := workload(obj)) is not None]
