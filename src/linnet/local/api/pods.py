"""What admission adds to every new Pod: service account, token, tolerations, priority.

Source: Kubernetes, admission plug-ins ServiceAccount, DefaultTolerationSeconds, Priority; observed with 1.35.
"""

import random
from collections.abc import Iterator
from typing import Any

from linnet.local.api.refusals import Refused

Json = dict[str, Any]

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def suffix() -> str:
    """Five letters as in generated names."""
    return "".join(random.choices(SUFFIX, k=5))  # noqa: S311 (a name, no secret)


def containers(spec: Json) -> Iterator[Json]:
    """Init containers first, then the others."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def with_account(spec: Json, account: Json) -> None:
    """Name the service account in the Pod's spec and mount its token, unless somebody said no."""
    name = account["metadata"]["name"]
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if wanted:
        _mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]


def _mount_token(spec: Json) -> None:
    needing = [
        one
        for one in containers(spec)
        if all(mount.get("mountPath") != _TOKEN_PATH for mount in one.get("volumeMounts") or ())
    ]
    if not needing:
        return
    name = f"kube-api-access-{suffix()}"
    for one in needing:
        mount = {"name": name, "readOnly": True, "mountPath": _TOKEN_PATH}
        one["volumeMounts"] = [*(one.get("volumeMounts") or ()), mount]
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]
    volume = {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]


def with_tolerations(spec: Json) -> None:
    """Tolerate a lost node for five minutes, unless the Pod says something else."""
    given = spec.get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in _TOLERATED
        if not any(_covers(toleration, key) for toleration in given)
    ]
    if given or added:
        spec["tolerations"] = [*given, *added]


def _covers(toleration: Json, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


def with_priority(name: str, spec: Json, classes: dict[str, Json]) -> None:
    """Resolve the priority class.

    Raises: Refused 403 if it does not exist.
    """
    wanted = spec.get("priorityClassName", "")
    chosen = classes.get(wanted)
    if not wanted:
        chosen = next((one for one in classes.values() if one.get("globalDefault")), None)
    elif chosen is None:
        message = f'pods "{name}" is forbidden: no PriorityClass with name {wanted} was found'
        raise Refused(403, "Forbidden", message, {"name": name, "kind": "pods"})
    if chosen is not None:
        spec["priorityClassName"] = chosen["metadata"]["name"]
    spec.setdefault("priority", chosen.get("value", 0) if chosen else 0)
    policy = chosen.get("preemptionPolicy") if chosen else None
    spec.setdefault("preemptionPolicy", policy or "PreemptLowerPriority")


def quality(spec: Json) -> str:
    """The QoS class. Source: Kubernetes, `ComputePodQOS`."""
    guaranteed = True
    asked = False
    for one in containers(spec):
        resources = one.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        asked = asked or any(name in ("cpu", "memory") for name in (*requests, *limits))
        guaranteed = guaranteed and all(
            name in limits and requests.get(name, limits[name]) == limits[name] for name in ("cpu", "memory")
        )
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"
