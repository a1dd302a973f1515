"""What Kubernetes refuses in Services, and what changes with their type.

Source: Kubernetes, `ValidateService` and the strategy of Services; texts observed with 1.35.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from linnet.local.api import metachecks, names
from linnet.local.api.causes import Cause, duplicate, forbidden, invalid, not_supported, required
from linnet.local.api.containerchecks import port, port_or_name

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_EXTERNAL = ("LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_KUBELET = 10250
_DAY = 86_400
_BAD_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_BAD_NETWORK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_FOR_BALANCERS = "may only be used when `type` is 'LoadBalancer'"


def service(obj: Json, old: Json | None, subresource: str) -> list[Cause]:
    """Violations in a Service, except for addresses and node ports that others hold."""
    if subresource:
        return []
    spec: Json = obj.get("spec") or {}
    kind = spec.get("type") or ""
    ports: list[Json] = spec.get("ports") or []
    found = _of_type(spec, kind, ports)
    taken: set[str] = set()
    for at, entry in enumerate(ports):
        found += _port(entry, f"spec.ports[{at}]", named=len(ports) > 1, taken=taken)
    found += metachecks.labels(spec.get("selector"), "spec.selector")
    found += _affinity(spec)
    found += _cluster_addresses(spec, kind)
    for at, address in enumerate(spec.get("externalIPs") or ()):
        found += _address(address, f"spec.externalIPs[{at}]")
    if kind not in _TYPES:
        found.append(not_supported("spec.type", kind, _TYPES))
    found += _repeated(ports, kind)
    found += _balancing(spec, kind)
    found += _policies(spec, kind)
    return [*found, *_immutable(spec, (old or {}).get("spec") or {})]


def settled(new: Json, old: Json) -> None:
    """Drop from a changed Service what belongs to its former type only, unless it was set anew."""
    spec, before = new["spec"], old["spec"]
    kind, was = spec.get("type", "ClusterIP"), before.get("type", "ClusterIP")
    if kind == was:
        return

    def drop(name: str, wanted: Callable[[str], bool]) -> None:
        if wanted(was) and not wanted(kind) and spec.get(name) == before.get(name):
            spec.pop(name, None)

    drop("externalName", lambda one: one == "ExternalName")
    for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        drop(name, lambda one: one != "ExternalName")
    drop("externalTrafficPolicy", lambda one: one in _EXTERNAL)
    for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"):
        drop(name, lambda one: one == "LoadBalancer")
    if was in _EXTERNAL and kind not in _EXTERNAL and _node_ports(spec) == _node_ports(before):
        for entry in spec.get("ports") or ():
            entry.pop("nodePort", None)


def _node_ports(spec: Json) -> set[int]:
    return {entry.get("nodePort", 0) for entry in spec.get("ports") or ()}


def _of_type(spec: Json, kind: str, ports: list[Json]) -> list[Cause]:
    headless = spec.get("clusterIP") == "None"
    found: list[Cause] = []
    if not ports and not headless and kind != "ExternalName":
        found.append(required("spec.ports"))
    if kind == "LoadBalancer":
        why = f"may not expose port {_KUBELET} externally since it is used by kubelet"
        found += [
            invalid(f"spec.ports[{at}]", _KUBELET, why)
            for at, entry in enumerate(ports)
            if entry.get("port") == _KUBELET
        ]
    if kind in _EXTERNAL and headless:
        found.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind != "ExternalName":
        return found
    why = "may not be set for ExternalName services"
    found += [
        forbidden(f"spec.{name}", why)
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(name)
    ]
    host = spec.get("externalName") or ""
    if not host:
        return [*found, required("spec.externalName")]
    problems = names.dns_subdomain(host.removesuffix("."))
    return [*found, *(invalid("spec.externalName", host.removesuffix("."), text) for text in problems)]


def _port(entry: Json, path: str, *, named: bool, taken: set[str]) -> list[Cause]:
    found: list[Cause] = []
    name = entry.get("name") or ""
    if not name and named:
        found.append(required(f"{path}.name"))
    elif name:
        found += [invalid(f"{path}.name", name, why) for why in names.dns_label(name)]
        if name in taken:
            found.append(duplicate(f"{path}.name", name))
        taken.add(name)
    number = entry.get("port") or 0
    found += [invalid(f"{path}.port", number, why) for why in port(number)]
    if not entry.get("protocol"):
        found.append(required(f"{path}.protocol"))
    elif entry["protocol"] not in _PROTOCOLS:
        found.append(not_supported(f"{path}.protocol", entry["protocol"], _PROTOCOLS))
    target = entry.get("targetPort")
    if target and target != number:
        found += port_or_name(target, f"{path}.targetPort")
    if protocol := entry.get("appProtocol"):
        found += [invalid(f"{path}.appProtocol", protocol, why) for why in names.qualified(protocol)]
    return found


def _affinity(spec: Json) -> list[Cause]:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    if not affinity:
        return [required("spec.sessionAffinity")]
    if affinity not in ("ClientIP", "None"):
        return [not_supported("spec.sessionAffinity", affinity, ("ClientIP", "None"))]
    if affinity == "None":
        if config is None:
            return []
        return [forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")]
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if seconds is not None and 0 < seconds <= _DAY:
        return []
    place = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
    return [invalid(place, seconds, f"must be greater than 0 and less than {_DAY}")]


def _cluster_addresses(spec: Json, kind: str) -> list[Cause]:
    """Families and form; this cluster has addresses of IPv4 only."""
    if kind == "ExternalName":
        return []
    found: list[Cause] = []
    for at, address in enumerate(spec.get("clusterIPs") or ()):
        if address == "None":
            continue
        found += _address(address, f"spec.clusterIPs[{at}]")
    for at, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in ("IPv4", "IPv6"):
            found.append(not_supported(f"spec.ipFamilies[{at}]", family, ("IPv4", "IPv6")))
        elif family == "IPv6":
            found.append(invalid(f"spec.ipFamilies[{at}]", family, "not configured on this cluster"))
    policy = spec.get("ipFamilyPolicy")
    if policy and policy not in _FAMILY_POLICIES:
        found.append(not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    elif policy == "RequireDualStack":
        why = "this cluster is not configured for dual-stack services"
        found.append(invalid("spec.ipFamilyPolicy", policy, why))
    return found


def _address(text: str, path: str) -> list[Cause]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [invalid(path, text, _BAD_IP)]
    return []


def _repeated(ports: list[Json], kind: str) -> list[Cause]:
    found: list[Cause] = []
    if kind == "ClusterIP":
        found += [
            forbidden(f"spec.ports[{at}].nodePort", "may not be used when `type` is 'ClusterIP'")
            for at, entry in enumerate(ports)
            if entry.get("nodePort")
        ]
    for name in ("nodePort", "port"):
        seen: set[tuple[Any, Any]] = set()
        for at, entry in enumerate(ports):
            identity = (entry.get("protocol"), entry.get(name))
            if entry.get(name) and identity in seen:
                whole = {"port": entry["port"], "protocol": entry.get("protocol")}
                place = f"spec.ports[{at}]" + (".nodePort" if name == "nodePort" else "")
                found.append(duplicate(place, entry[name] if name == "nodePort" else whole))
            seen.add(identity)
    return found


def _balancing(spec: Json, kind: str) -> list[Cause]:
    """What only load balancers have."""
    found: list[Cause] = []
    place = "spec.LoadBalancerSourceRanges"
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and kind != "LoadBalancer":
        found.append(forbidden(place, _FOR_BALANCERS))
    for at, text in enumerate(ranges):
        try:
            ipaddress.ip_network(text.strip())
        except ValueError:
            found.append(invalid(f"{place}[{at}]", text, _BAD_NETWORK))
    only = ("allocateLoadBalancerNodePorts", "loadBalancerClass")
    unwanted = [name for name in only if spec.get(name) is not None and kind != "LoadBalancer"]
    return [*found, *(forbidden(f"spec.{name}", _FOR_BALANCERS) for name in unwanted)]


def _policies(spec: Json, kind: str) -> list[Cause]:
    found: list[Cause] = []
    external = spec.get("externalTrafficPolicy")
    reachable = kind in _EXTERNAL or (kind == "ClusterIP" and spec.get("externalIPs"))
    if external and not reachable:
        why = "may only be set for externally-accessible services"
        found.append(invalid("spec.externalTrafficPolicy", external, why))
    elif external and external not in _POLICIES:
        found.append(not_supported("spec.externalTrafficPolicy", external, _POLICIES))
    internal = spec.get("internalTrafficPolicy")
    if internal and internal not in _POLICIES:
        found.append(not_supported("spec.internalTrafficPolicy", internal, _POLICIES))
    distribution = spec.get("trafficDistribution")
    if distribution and distribution not in _DISTRIBUTIONS:
        found.append(not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))
    return found


def _immutable(spec: Json, before: Json) -> list[Cause]:
    """The first address stays as long as the Service has one."""
    held, wanted = before.get("clusterIPs"), spec.get("clusterIPs")
    if not held or not wanted or held[0] == wanted[0]:
        return []
    return [invalid("spec.clusterIPs[0]", wanted, "may not change once set")]
