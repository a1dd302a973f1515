"""The environment of a container (pure): what Kubernetes adds, what objects give, what the container says.

Source: Kubernetes API reference, Container.env; pages "Environment variables" of services and
"Define Dependent Environment Variables".
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from linnet.local.node import quantity
from linnet.local.node.container_spec import (
    Container,
    EnvFrom,
    EnvSource,
    EnvVar,
    KeyRef,
    ObjectRef,
    ResourceRef,
)
from linnet.local.node.spec import Object, Pod

_REFERENCE = re.compile(r"\$\$|\$\(([^)$]*)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


class Missing(ValueError):
    """Something that a container needs does not exist (yet); the message is Kubernetes' own."""


class Facts(Struct, frozen=True):
    """What is known of a pod when a container of it starts."""

    pod: Pod
    ip: str
    node_name: str
    node_ip: str
    allocatable: Mapping[str, Decimal]  # cpu in cores, memory and ephemeral-storage in bytes
    config_maps: Mapping[str, Object]
    secrets: Mapping[str, Object]
    services: tuple[Object, ...] = ()  # of the pod's namespace, and kubernetes of default


def environment(
    container: Container, facts: Facts, image: Iterable[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """All variables of a container; later sources win: image, services, envFrom, env.

    Raises:
        Missing: a key or object that is not optional does not exist.
    """
    variables = dict(image)
    variables["HOSTNAME"] = hostname(facts.pod)
    variables |= service_variables(facts)
    for source in container.env_from:
        variables |= _all_of(source, facts)
    declared: dict[str, str] = {}
    for variable in container.env:
        value = _value(variable, facts, container, variables | declared)
        if value is not None:
            declared[variable.name] = value
    return tuple((variables | declared).items())


def hostname(pod: Pod) -> str:
    """The host name of a pod, at most 63 characters. Source: Kubernetes, pod's hostname field."""
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign, an unknown name stays as written."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(replaced, text)


def expand_all(words: Sequence[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """`expand` over command or arguments."""
    return tuple(expand(word, variables) for word in words)


def service_variables(facts: Facts) -> dict[str, str]:
    """`X_SERVICE_HOST` and the link variables of each service; only those of `kubernetes` without links."""
    found: dict[str, str] = {}
    for service in facts.services:
        meta, spec = service["metadata"], service["spec"]
        master = meta["namespace"] == "default" and meta["name"] == "kubernetes"
        if not (master or facts.pod.spec.enable_service_links):
            continue
        address, ports = spec.get("clusterIP"), spec.get("ports") or []
        if address and address != "None" and ports:
            found |= _links(meta["name"].upper().replace("-", "_"), address, ports)
    return found


def _links(name: str, address: str, ports: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        number, protocol = port["port"], port.get("protocol", "TCP").lower()
        if port.get("name"):
            found[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(number)
        url = f"{protocol}://{address}:{number}"
        if index == 0:
            found[f"{name}_PORT"] = url
        prefix = f"{name}_PORT_{number}_{protocol.upper()}"
        found |= {
            prefix: url,
            f"{prefix}_PROTO": protocol,
            f"{prefix}_PORT": str(number),
            f"{prefix}_ADDR": address,
        }
    return found


def _all_of(source: EnvFrom, facts: Facts) -> dict[str, str]:
    if source.config_map_ref:
        obj = _object("configmap", source.config_map_ref, facts.config_maps)
        values = dict(obj.get("data") or {})
    elif source.secret_ref:
        obj = _object("secret", source.secret_ref, facts.secrets)
        values = {key: decoded(value) for key, value in (obj.get("data") or {}).items()}
    else:
        values = {}
    return {source.prefix + key: value for key, value in values.items()}


def _object(kind: str, ref: ObjectRef | KeyRef, known: Mapping[str, Object]) -> Object:
    found = known.get(ref.name)
    if found is None and not ref.optional:
        raise Missing(f'{kind} "{ref.name}" not found')
    return found or {}


def _value(variable: EnvVar, facts: Facts, container: Container, variables: Mapping[str, str]) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, variables)
    if source.field_ref:
        return field(source.field_ref.field_path, facts)
    if source.resource_field_ref:
        return resource(source.resource_field_ref, facts, container)
    return _key(source, facts)


def _key(source: EnvSource, facts: Facts) -> str | None:
    """The value of a ConfigMap or Secret key; None: optional and absent."""
    namespace = facts.pod.metadata.namespace
    if source.config_map_key_ref:
        ref = source.config_map_key_ref
        data = _object("configmap", ref, facts.config_maps).get("data") or {}
        kind = "ConfigMap"
    elif source.secret_key_ref:
        ref = source.secret_key_ref
        encoded = _object("secret", ref, facts.secrets).get("data") or {}
        data = {key: decoded(value) for key, value in encoded.items()}
        kind = "Secret"
    else:
        return ""
    if ref.key not in data and not ref.optional:
        raise Missing(f"couldn't find key {ref.key} in {kind} {namespace}/{ref.name}")
    return data.get(ref.key)


def decoded(value: str) -> str:
    """The text of a Secret's value."""
    return base64.b64decode(value).decode(errors="surrogateescape")


def field(path: str, facts: Facts) -> str:
    """A field of the pod as text; maps (labels, annotations) in the form `key="value"` lines.

    Source: Kubernetes, downward API.
    """
    meta = facts.pod.metadata
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return (meta.labels if subscript[1] == "labels" else meta.annotations).get(subscript[2], "")
    fields = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": facts.pod.spec.service_account_name,
        "status.hostIP": facts.node_ip,
        "status.hostIPs": facts.node_ip,
        "status.podIP": facts.ip,
        "status.podIPs": facts.ip,
    }
    if path in fields:
        return fields[path]
    if path in ("metadata.labels", "metadata.annotations"):
        values = meta.labels if path == "metadata.labels" else meta.annotations
        return "\n".join(f"{key}={_quoted(values[key])}" for key in sorted(values))
    raise Missing(f"unsupported fieldPath: {path}")


def _quoted(text: str) -> str:
    """Go's `%q` for the characters that occur in labels and annotations."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def resource(ref: ResourceRef, facts: Facts, container: Container | None = None) -> str:
    """A request or limit of a container in units of the divisor; without a limit, what the node has."""
    name = ref.container_name or (container.name if container else "")
    spec = facts.pod.spec
    owner = next((c for c in (*spec.containers, *spec.init_containers) if c.name == name), container)
    if owner is None:
        raise Missing(f'container "{name}" not found')
    kind, _, resource_name = ref.resource.partition(".")
    limits, requests = owner.resources.limits, owner.resources.requests
    given = (
        limits.get(resource_name)
        if kind == "limits"
        else requests.get(resource_name, limits.get(resource_name))
    )
    if given is not None:
        amount = quantity.parse(given)
    elif kind == "limits":
        amount = facts.allocatable.get(resource_name, Decimal(0))
    else:
        amount = Decimal(0)
    return str(quantity.in_units(amount, ref.divisor))
