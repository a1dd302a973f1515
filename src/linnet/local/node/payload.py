"""The files of configMap, secret, downwardAPI and projected volumes (pure).

Source: Kubernetes API reference, Volume; "Projected Volumes".
"""

import base64
from collections.abc import Iterator, Mapping

from msgspec import Struct

from linnet.kube.kinds import CONFIG_MAP, SECRET, Kind
from linnet.local.node.environment import Facts, Missing, field, resource
from linnet.local.node.spec import Object, Pod
from linnet.local.node.volume_spec import (
    ConfigMapSource,
    DownwardSource,
    KeyToPath,
    Projection,
    SecretSource,
    TokenSource,
    Volume,
)

Tokens = Mapping[TokenSource, str]


class File(Struct, frozen=True):
    """One file of a volume."""

    content: bytes
    mode: int


def projections(volume: Volume) -> tuple[tuple[Projection, ...], int] | None:
    """The sources of a volume of files, and the default mode; None: it is another kind of volume."""
    if volume.config_map:
        return (Projection(config_map=volume.config_map),), volume.config_map.default_mode
    if volume.secret:
        return (Projection(secret=volume.secret),), volume.secret.default_mode
    if volume.downward_api:
        return (Projection(downward_api=volume.downward_api),), volume.downward_api.default_mode
    if volume.projected:
        return volume.projected.sources, volume.projected.default_mode
    return None


def token_sources(pod: Pod) -> frozenset[TokenSource]:
    """The tokens that a pod's volumes ask for."""
    found = (projections(volume) for volume in pod.spec.volumes)
    return frozenset(
        source.service_account_token
        for sources in found
        if sources
        for source in sources[0]
        if source.service_account_token
    )


def references(pod: Pod) -> frozenset[tuple[Kind, str, str]]:
    """The ConfigMaps and Secrets that volumes and variables of a pod name: kind, namespace, name."""
    return frozenset((kind, pod.metadata.namespace, name) for kind, name in _references(pod) if name)


def _references(pod: Pod) -> Iterator[tuple[Kind, str]]:
    for volume in pod.spec.volumes:
        sources = projections(volume)
        for source in sources[0] if sources else ():
            if source.config_map:
                yield CONFIG_MAP, source.config_map.name
            if source.secret:
                yield SECRET, source.secret.secret_name or source.secret.name
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        for source_of_all in container.env_from:
            if source_of_all.config_map_ref:
                yield CONFIG_MAP, source_of_all.config_map_ref.name
            if source_of_all.secret_ref:
                yield SECRET, source_of_all.secret_ref.name
        for variable in container.env:
            if variable.value_from and variable.value_from.config_map_key_ref:
                yield CONFIG_MAP, variable.value_from.config_map_key_ref.name
            if variable.value_from and variable.value_from.secret_key_ref:
                yield SECRET, variable.value_from.secret_key_ref.name


def files(volume: Volume, facts: Facts, tokens: Tokens) -> dict[str, File]:
    """Path in the volume -> file. Later sources win.

    Raises:
        Missing: an object or key that is not optional does not exist.
    """
    found: dict[str, File] = {}
    sources = projections(volume)
    assert sources is not None, volume
    for source in sources[0]:
        mode = sources[1]
        if source.config_map:
            found |= _config_map(source.config_map, mode, facts)
        if source.secret:
            found |= _secret(source.secret, mode, facts)
        if source.downward_api:
            found |= _downward(source.downward_api, mode, facts)
        if source.service_account_token:
            token = source.service_account_token
            found[token.path] = File(tokens[token].encode(), mode)
    return found


def _config_map(source: ConfigMapSource, mode: int, facts: Facts) -> dict[str, File]:
    obj = _object("configmap", source.name, source.optional, facts.config_maps)
    data = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return _select(data, source.items, mode, source.optional)


def _secret(source: SecretSource, mode: int, facts: Facts) -> dict[str, File]:
    obj = _object("secret", source.secret_name or source.name, source.optional, facts.secrets)
    data = {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    return _select(data, source.items, mode, source.optional)


def _object(kind: str, name: str, optional: bool, known: Mapping[str, Object]) -> Object:
    found = known.get(name)
    if found is None and not optional:
        raise Missing(f'{kind} "{name}" not found')
    return found or {}


def _select(
    data: Mapping[str, bytes], items: tuple[KeyToPath, ...], mode: int, optional: bool
) -> dict[str, File]:
    """All keys as files, or those that `items` names."""
    if not items:
        return {key: File(content, mode) for key, content in data.items()}
    found = {}
    for item in items:
        if item.key in data:
            found[item.path] = File(data[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise Missing(f"references non-existent config key: {item.key}")
    return found


def _downward(source: DownwardSource, mode: int, facts: Facts) -> dict[str, File]:
    found = {}
    for item in source.items:
        if item.field_ref:
            text = field(item.field_ref.field_path, facts)
        elif item.resource_field_ref:
            text = resource(item.resource_field_ref, facts)
        else:
            text = ""
        found[item.path] = File(text.encode(), mode if item.mode is None else item.mode)
    return found
