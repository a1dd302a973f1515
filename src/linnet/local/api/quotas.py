"""ResourceQuotas: what a namespace uses of what it may, counted when something is created.

Source: Kubernetes, admission plug-in ResourceQuota and its evaluators; texts observed with 1.35.
Scopes are not looked at: a quota with scopes counts everything in its namespace.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from linnet.local.api import limits, refusals
from linnet.local.api.cluster import Cluster
from linnet.local.api.quantities import value
from linnet.local.api.registry import Resource

Json = dict[str, Any]
Amounts = dict[str, Decimal]

QUOTAS = "resourcequotas"
_COUNTED = frozenset(
    {
        "pods",
        "services",
        "configmaps",
        "secrets",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "resourcequotas",
    }
)
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def check(cluster: Cluster, resource: Resource, namespace: str, obj: Json) -> None:
    """Refuse a new object for which a quota of its namespace has no room.

    Raises: Refused 403.
    """
    quotas = [record.load() for record in cluster.store.records(QUOTAS, namespace)]
    if not quotas:
        return
    asked = usage(resource, obj)
    for quota in quotas:
        hard = {name: value(str(amount)) for name, amount in (quota["spec"].get("hard") or {}).items()}
        limited = sorted(name for name in hard if name in asked)
        name = quota["metadata"]["name"]
        if resource.name == "pods":
            _check_complete(resource, obj, name, hard)
        if not limited:
            continue
        used = _used(cluster, resource, namespace)
        over = [one for one in limited if used.get(one, Decimal(0)) + asked[one] > hard[one]]
        if over:
            why = (
                f"exceeded quota: {name}, requested: {_shown(over, asked)}, "
                f"used: {_shown(over, used)}, limited: {_shown(over, hard)}"
            )
            raise refusals.forbidden(resource, obj["metadata"].get("name", ""), why)


def usage(resource: Resource, obj: Json) -> Amounts:
    """What an object counts for, by the names that quotas use."""
    one = Decimal(1)
    full = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    found: Amounts = {f"count/{full}": one}
    if resource.name in _COUNTED:
        found[resource.name] = one
    spec = obj.get("spec") or {}
    if resource.name == "services":
        kind = spec.get("type")
        if kind == "LoadBalancer":
            found["services.loadbalancers"] = one
        if kind in ("LoadBalancer", "NodePort"):
            found["services.nodeports"] = Decimal(len(spec.get("ports") or ()))
    if resource.name == "pods":
        found |= _of_pod(obj)
    return found


def _of_pod(pod: Json) -> Amounts:
    """Pods that have ended count for nothing but their existence."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {"pods": Decimal(0)}
    resources = limits.total(pod["spec"])
    found: Amounts = {}
    for name, amount in resources["requests"].items():
        found[f"requests.{name}"] = value(amount)
        if name in _COMPUTE:
            found[name] = value(amount)
    for name, amount in resources["limits"].items():
        found[f"limits.{name}"] = value(amount)
    return found


def _check_complete(resource: Resource, pod: Json, quota: str, hard: Iterable[str]) -> None:
    """What a quota limits every container must say."""
    wanting: dict[str, list[str]] = {}
    for name in sorted(hard):
        field, _, plain = name.rpartition(".")
        if plain not in _COMPUTE or field not in ("", "requests", "limits"):
            continue
        for container in pod["spec"].get("containers") or ():
            if plain not in ((container.get("resources") or {}).get(field or "requests") or {}):
                wanting.setdefault(name, []).append(container["name"])
    if wanting:
        listed = "; ".join(f"{name} for: {','.join(names)}" for name, names in wanting.items())
        raise refusals.forbidden(
            resource, pod["metadata"].get("name", ""), f"failed quota: {quota}: must specify {listed}"
        )


def _used(cluster: Cluster, resource: Resource, namespace: str) -> Amounts:
    """What the objects of one resource use, those included that are on their way to the disk."""
    found: Amounts = {}
    for key in cluster.store.latest_keys(resource.bucket, namespace):
        record = cluster.store.latest(key)
        if record is None:
            continue
        for name, amount in usage(resource, record.load()).items():
            found[name] = found.get(name, Decimal(0)) + amount
    return found


def status(cluster: Cluster, quota: Json) -> Json:
    """`hard` and `used` of a quota as they are now."""
    namespace = quota["metadata"]["namespace"]
    hard = quota["spec"].get("hard") or {}
    used: Amounts = {}
    for resource in _resources(cluster, hard):
        used |= _used(cluster, resource, namespace)
    return {"hard": hard, "used": {name: limits.plain(used.get(name, Decimal(0))) for name in hard}}


def _resources(cluster: Cluster, names: Iterable[str]) -> Iterator[Resource]:
    """The resources that the names of a quota count, each once."""
    wanted: set[tuple[str, str]] = set()
    for name in names:
        if name.startswith("count/"):
            plural, _, group = name.removeprefix("count/").partition(".")
            wanted.add((group, plural))
        elif name in _COUNTED or name.startswith("services."):
            wanted.add(("", name.partition(".")[0]))
        else:
            wanted.add(("", "pods"))
    for group, plural in sorted(wanted):
        found = cluster.registry.any_version(group, plural)
        if found is not None and found.namespaced:
            yield found


def _shown(names: Iterable[str], amounts: Amounts) -> str:
    return ",".join(f"{name}={limits.plain(amounts.get(name, Decimal(0)))}" for name in names)
