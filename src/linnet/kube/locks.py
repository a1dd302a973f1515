"""What a lock object says: who holds it, since when, until when (pure).

Two kinds of objects serve: a Lease, and a ConfigMap with an annotation, which some of Istio's locks are.
Source: Istio, leader election records; Kubernetes, Lease and client-go's resource locks.
"""

import json
from datetime import datetime
from typing import Any

from msgspec import Struct

from linnet.kube.kinds import LEASE, Kind

HOLDER_KEY = "leader.istio.io/holder-key"
LEADER = "control-plane.alpha.kubernetes.io/leader"

Object = dict[str, Any]


class Lock(Struct, frozen=True):
    """The object that stands for a lock: a Lease, or a ConfigMap."""

    namespace: str
    name: str
    kind: Kind = LEASE


class Record(Struct, frozen=True):
    """Who holds a lock. Times as the API writes them; an empty holder is nobody."""

    holder: str = ""
    key: str = ""
    """What the holder is of: a revision. Empty if it does not say."""
    duration: float = 0.0
    """Seconds after the renewal at which another may take it."""
    renewed: str = ""
    acquired: str = ""
    transitions: int = 0

    def expired(self, now: datetime) -> bool:
        """Whether nobody holds it any more."""
        if not self.holder or not self.renewed:
            return True
        return (now - datetime.fromisoformat(self.renewed)).total_seconds() > self.duration


def stamp(now: datetime, kind: Kind) -> str:
    """A time as records of this kind carry it."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if kind is LEASE else "%Y-%m-%dT%H:%M:%SZ")


def read(obj: Object, lock: Lock, usual: float) -> Record:
    """The record in a lock object; `usual` is the duration where it says none. One that is broken is free."""
    annotations = obj["metadata"].get("annotations") or {}
    if lock.kind is LEASE:
        spec, key = obj.get("spec") or {}, annotations.get(HOLDER_KEY, "")
    else:
        try:
            spec = json.loads(annotations.get(LEADER) or "{}")
        except json.JSONDecodeError:
            spec = {}
        key = spec.get("holderKey") or ""
    transitions = spec.get("leaseTransitions" if lock.kind is LEASE else "leaderTransitions")
    return Record(
        holder=spec.get("holderIdentity") or "",
        key=key,
        duration=float(spec.get("leaseDurationSeconds") or usual),
        renewed=spec.get("renewTime") or "",
        acquired=spec.get("acquireTime") or "",
        transitions=int(transitions or 0),
    )


def written(obj: Object, lock: Lock, record: Record) -> Object:
    """The lock object with a record."""
    metadata = {"name": lock.name, "namespace": lock.namespace, **(obj.get("metadata") or {})}
    annotations = dict(metadata.get("annotations") or {})
    common = {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": max(1, int(record.duration)),
        "acquireTime": record.acquired or None,
        "renewTime": record.renewed or None,
    }
    changed: Object = {**obj, "apiVersion": lock.kind.api_version, "kind": lock.kind.name}
    if lock.kind is LEASE:
        changed["spec"] = {**(obj.get("spec") or {}), **common, "leaseTransitions": record.transitions}
        annotations[HOLDER_KEY] = record.key
    else:
        told = {**common, "holderKey": record.key, "leaderTransitions": record.transitions}
        annotations[LEADER] = json.dumps(told)
    changed["metadata"] = {**metadata, "annotations": annotations}
    return changed
