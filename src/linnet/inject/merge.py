"""Strategic merge of a partial pod onto a pod, and the JSON patch between two objects (pure).

Source: Kubernetes, strategic merge patch: `patchMergeKey` of the fields of PodSpec and Container.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_KEYS: Mapping[str, str] = {  # field: the key by which its items are merged
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_SOURCES = frozenset(  # a volume has one source: a new one replaces the old one
    """awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral fc
    flexVolume flocker gcePersistentDisk gitRepo glusterfs hostPath image iscsi nfs persistentVolumeClaim
    photonPersistentDisk portworxVolume projected quobyte rbd scaleIO secret storageos vsphereVolume
    """.split()  # noqa: SIM905 (a list of them is a page long)
)


def merged(base: Any, patch: Any, field: str = "") -> Any:
    """`base` with `patch` over it; null in the patch removes. Neither argument is changed."""
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        return _mapping(base, patch)
    if isinstance(base, list) and isinstance(patch, list) and field in _KEYS:
        return _by_key(base, patch, _KEYS[field])
    return patch


def _mapping(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    if _SOURCES & patch.keys() and "name" in base:
        result = {key: value for key, value in result.items() if key not in _SOURCES or key in patch}
    if "valueFrom" in patch:
        result.pop("value", None)
    elif "value" in patch:
        result.pop("valueFrom", None)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result[key], value, key) if key in result else value
    return result


def _by_key(base: list[Any], patch: list[Any], key: str) -> list[Any]:
    result = list(base)
    places = {item.get(key): index for index, item in enumerate(result)}
    for item in patch:
        place = places.get(item.get(key))
        if place is None:
            places[item.get(key)] = len(result)
            result.append(item)
        else:
            result[place] = merged(result[place], item)
    return result


def difference(old: Any, new: Any, path: str = "") -> list[dict[str, Any]]:
    """The JSON patch (RFC 6902) that turns `old` into `new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return _fields(old, new, path)
    if isinstance(old, list) and isinstance(new, list):
        return _items(old, new, path)
    return [] if old == new and type(old) is type(new) else [{"op": "replace", "path": path, "value": new}]


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {"op": "remove", "path": f"{path}/{_escaped(key)}"} for key in old if key not in new
    ]
    for key, value in new.items():
        here = f"{path}/{_escaped(key)}"
        if key in old:
            steps += difference(old[key], value, here)
        else:
            steps.append({"op": "add", "path": here, "value": value})
    return steps


def _items(old: Sequence[Any], new: Sequence[Any], path: str) -> list[dict[str, Any]]:
    if len(new) >= len(old):
        steps = [
            step
            for index, pair in enumerate(zip(old, new, strict=False))
            for step in difference(*pair, f"{path}/{index}")
        ]
        return [*steps, *({"op": "add", "path": f"{path}/-", "value": item} for item in new[len(old) :])]
    return [{"op": "replace", "path": path, "value": list(new)}]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
