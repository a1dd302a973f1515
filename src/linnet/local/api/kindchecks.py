"""What Kubernetes refuses in ConfigMaps, RBAC objects and other small kinds.

Source: Kubernetes, `pkg/apis/*/validation`; texts observed with 1.35.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from linnet.local.api import metachecks, names, podsecurity
from linnet.local.api.causes import (
    Cause,
    forbidden,
    invalid,
    not_supported,
    required,
    shown,
    too_long,
)
from linnet.local.api.containerchecks import port

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

_MOST_DATA = 1024 * 1024  # bytes of a ConfigMap or Secret
_BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def namespace(obj: Json, old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in a Namespace: levels of pod security that do not exist."""
    labels = obj["metadata"].get("labels")
    return [] if old and labels == old["metadata"].get("labels") else podsecurity.wrong(labels)


def config_map(obj: Json, old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in a ConfigMap."""
    found: list[Cause] = []
    texts, binaries = obj.get("data") or {}, obj.get("binaryData") or {}
    for field, data in (("data", texts), ("binaryData", binaries)):
        for key in sorted(data):
            found += [invalid(f"{field}[{key}]", key, why) for why in names.config_key(key)]
    found += [
        invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        for key in texts
        if key in binaries
    ]
    if sum(len(value) for value in (*texts.values(), *binaries.values())) > _MOST_DATA:
        found.append(too_long("", _MOST_DATA))
    return found + _immutable(obj, old, ("data", "binaryData"))


def secret(obj: Json, old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in a Secret."""
    found: list[Cause] = []
    data = obj.get("data") or {}
    for key in sorted(data):
        found += [invalid(f"data[{key}]", key, why) for why in names.config_key(key)]
    if sum(map(len, data.values())) * 3 // 4 > _MOST_DATA:
        found.append(too_long("data", _MOST_DATA))
    found += [
        required(f"data[{key}]") for key in _SECRET_KEYS.get(obj.get("type", ""), ()) if key not in data
    ]
    if old is not None and obj.get("type") != old.get("type"):
        found.append(invalid("type", obj.get("type"), "field is immutable"))
    return found + _immutable(obj, old, ("data",))


def _immutable(obj: Json, old: Json | None, fields: Iterable[str]) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    why = "field is immutable when `immutable` is set"
    found = [] if obj.get("immutable") else [forbidden("immutable", why)]
    found += [forbidden(field, why) for field in fields if (obj.get(field) or {}) != (old.get(field) or {})]
    return found


def autoscaler(obj: Json, _old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a HorizontalPodAutoscaler."""
    if subresource:
        return []
    spec = obj.get("spec") or {}
    found: list[Cause] = []
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        found.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        found.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        found.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    ref = spec.get("scaleTargetRef") or {}
    found += [required(f"spec.scaleTargetRef.{field}") for field in ("kind", "name") if not ref.get(field)]
    version = ref.get("apiVersion") or ""
    if "/" not in version and not (version == "v1" and ref.get("kind") == "ReplicationController"):
        found.append(invalid("spec.scaleTargetRef.apiVersion", version, "apiVersion must specify API group"))
    return found


def disruption_budget(obj: Json, _old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a PodDisruptionBudget."""
    if subresource:
        return []
    spec = obj.get("spec") or {}
    found: list[Cause] = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        inner = {
            "MinAvailable": spec["minAvailable"],
            "Selector": spec.get("selector"),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        parts = ",".join(f'"{name}":{shown(value)}' for name, value in inner.items())
        why = "minAvailable and maxUnavailable cannot be both set"
        found.append(Cause("spec", "FieldValueInvalid", f"Invalid value: {{{parts}}}: {why}"))
    for field in ("minAvailable", "maxUnavailable"):
        value = spec.get(field)
        if isinstance(value, str):
            found += [invalid(f"spec.{field}", value, why) for why in names.percent(value)]
        elif value is not None and value < 0:
            found.append(invalid(f"spec.{field}", value, "must be greater than or equal to 0"))
    return found + metachecks.selector(spec.get("selector"), "spec.selector")


def lease(obj: Json, _old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in a Lease."""
    spec = obj.get("spec") or {}
    found: list[Cause] = []
    if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
        found.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if (count := spec.get("leaseTransitions")) is not None and count < 0:
        found.append(invalid("spec.leaseTransitions", count, "must be greater than or equal to 0"))
    return found


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def endpoint_slice(obj: Json, old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in an EndpointSlice."""
    kind = obj.get("addressType") or ""
    found: list[Cause] = []
    kinds = ("FQDN", "IPv4", "IPv6")
    if not kind:
        found.append(required("addressType"))
    elif kind not in kinds:
        found.append(not_supported("addressType", kind, kinds))
    if old is not None and kind != old.get("addressType"):
        found.append(invalid("addressType", kind, "field is immutable"))
    for at, endpoint in enumerate(obj.get("endpoints") or ()):
        place = f"endpoints[{at}].addresses"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            found.append(required(place, "must contain at least 1 address"))
        if kind in ("IPv4", "IPv6"):
            found += [
                invalid(f"{place}[{index}]", address, _BAD_IP)
                for index, address in enumerate(addresses)
                if not _is_ip(address)
            ]
    for at, entry in enumerate(obj.get("ports") or ()):
        if (number := entry.get("port")) is not None:
            found += [invalid(f"ports[{at}].port", number, why) for why in port(number)]
    return found


def endpoints(obj: Json, _old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in Endpoints."""
    found: list[Cause] = []
    for at, subset in enumerate(obj.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(subset.get(field) or ()):
                text = address.get("ip") or ""
                if not _is_ip(text):
                    found.append(invalid(f"subsets[{at}].{field}[{index}].ip", text, _BAD_IP))
        for index, entry in enumerate(subset.get("ports") or ()):
            number = entry.get("port") or 0
            found += [invalid(f"subsets[{at}].ports[{index}].port", number, why) for why in port(number)]
    return found


def event(obj: Json, _old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in an Event of the core group."""
    involved = (obj.get("involvedObject") or {}).get("namespace") or ""
    namespace = obj["metadata"].get("namespace") or ""
    if involved in ("", namespace) or (not involved and namespace == "default"):
        return []
    return [invalid("involvedObject.namespace", involved, "does not match event.namespace")]


def role(obj: Json, _old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in a Role or ClusterRole."""
    found: list[Cause] = []
    for at, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{at}]"
        if not rule.get("verbs"):
            found.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        if urls := rule.get("nonResourceURLs"):
            if obj.get("kind") == "Role":
                why = "namespaced rules cannot apply to non-resource URLs"
                found.append(invalid(f"{path}.nonResourceURLs", urls, why))
            if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
                why = "rules cannot apply to both regular resources and non-resource URLs"
                found.append(invalid(f"{path}.nonResourceURLs", urls, why))
            continue
        if not rule.get("apiGroups"):
            found.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            found.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def role_binding(obj: Json, old: Json | None, _subresource: str) -> list[Cause]:
    """Violations in a RoleBinding or ClusterRoleBinding."""
    found: list[Cause] = []
    ref = obj.get("roleRef") or {}
    if ref.get("apiGroup") != "rbac.authorization.k8s.io":
        found.append(
            not_supported("roleRef.apiGroup", ref.get("apiGroup") or "", ("rbac.authorization.k8s.io",))
        )
    kinds = ("Role", "ClusterRole") if obj.get("kind") == "RoleBinding" else ("ClusterRole",)
    if ref.get("kind") not in kinds:
        found.append(not_supported("roleRef.kind", ref.get("kind") or "", kinds))
    if not ref.get("name"):
        found.append(required("roleRef.name"))
    for at, subject in enumerate(obj.get("subjects") or ()):
        path = f"subjects[{at}]"
        if not subject.get("name"):
            found.append(required(f"{path}.name"))
        kind = subject.get("kind") or ""
        if kind not in ("ServiceAccount", "User", "Group"):
            found.append(not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
        if kind == "ServiceAccount" and not subject.get("namespace"):
            found.append(required(f"{path}.namespace"))
    if old is not None and ref != old.get("roleRef"):
        found.append(invalid("roleRef", ref, "cannot change roleRef"))
    return found


def ingress(obj: Json, _old: Json | None, subresource: str) -> list[Cause]:
    """Violations in an Ingress."""
    found: list[Cause] = []
    for at, rule in enumerate(() if subresource else (obj.get("spec") or {}).get("rules") or ()):
        if host := rule.get("host"):
            name = host.removeprefix("*.")
            found += [invalid(f"spec.rules[{at}].host", host, why) for why in names.dns_subdomain(name)]
        for index, entry in enumerate((rule.get("http") or {}).get("paths") or ()):
            place = f"spec.rules[{at}].http.paths[{index}]"
            kind = entry.get("pathType")
            if kind is None:
                found.append(required(f"{place}.pathType", "pathType must be specified"))
            elif kind not in ("Exact", "ImplementationSpecific", "Prefix"):
                choices = ("Exact", "ImplementationSpecific", "Prefix")
                found.append(not_supported(f"{place}.pathType", kind, choices))
            elif kind != "ImplementationSpecific" and not (entry.get("path") or "").startswith("/"):
                found.append(invalid(f"{place}.path", entry.get("path") or "", "must be an absolute path"))
    return found
