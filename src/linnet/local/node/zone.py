"""The names of the cluster: what cluster DNS answers for services and pods.

Source: Kubernetes, "DNS-Based Service Discovery" specification 1.1.0.
"""

from collections.abc import Iterator

from linnet.kube.mirror import Key
from linnet.local.node.dns_wire import Answer, Code, Record, Type, address_data, name_data, service_data
from linnet.local.node.service_table import Change, Member, Service

DOMAIN = "cluster.local"
_REVERSE = ".in-addr.arpa"


class Zone:
    """Services by name. One writer."""

    def __init__(self) -> None:
        self._services: dict[Key, Service] = {}
        self._namespaces: dict[str, int] = {}  # how many services each has
        self._names_of: dict[str, str] = {}  # cluster IP -> name of the service

    def update(self, change: Change) -> None:
        """Take changed services."""
        for key, service in change.items():
            old = self._services.pop(key, None)
            if old:
                self._namespaces[old.namespace] -= 1
                self._names_of.pop(old.cluster_ip, None)
            if service:
                self._services[key] = service
                self._namespaces[service.namespace] = self._namespaces.get(service.namespace, 0) + 1
                if service.cluster_ip:
                    self._names_of[service.cluster_ip] = f"{service.name}.{service.namespace}.svc.{DOMAIN}"

    def answer(self, name: str, kind: int) -> Answer | None:
        """What is known about a name of the cluster; None: the name is not the cluster's."""
        if name.endswith(_REVERSE):
            return self._reverse(name)
        if name == DOMAIN:
            return Answer(Code.OK)
        if not name.endswith("." + DOMAIN):
            return None
        labels = name[: -len(DOMAIN) - 1].split(".")
        match labels:
            case ["svc"] | ["pod"] | ["dns", *_]:
                return Answer(Code.OK)
            case [namespace, "svc"]:
                return Answer(Code.OK if self._namespaces.get(namespace) else Code.NO_NAME)
            case [ip, _, "pod"]:
                return _pod(name, ip, kind)
            case [*parts, service, namespace, "svc"]:
                found = self._services.get((namespace, service))
                if found:
                    return _service(found, parts, name, kind)
        return Answer(Code.NO_NAME)

    def _reverse(self, name: str) -> Answer | None:
        ip = ".".join(reversed(name.removesuffix(_REVERSE).split(".")))
        target = self._names_of.get(ip)
        if target:
            return Answer(Code.OK, (Record(name, Type.PTR, name_data(target)),))
        if ip.startswith(("10.96.", "10.244.0.")):
            return Answer(Code.NO_NAME)
        return None


def _service(service: Service, parts: list[str], name: str, kind: int) -> Answer:
    """The answer for `<parts>.<service>.<namespace>.svc.cluster.local`."""
    if service.external_name:
        alias = Record(name, Type.CNAME, name_data(service.external_name))
        return Answer(Code.OK, (alias,)) if not parts else Answer(Code.NO_NAME)
    base = f"{service.name}.{service.namespace}.svc.{DOMAIN}"
    match parts:
        case []:
            ips = [service.cluster_ip] if service.cluster_ip else [m.ip for m in service.members]
            if not ips:
                return Answer(Code.NO_NAME)  # headless without endpoints
            return _addresses(name, ips, kind)
        case [host] if not host.startswith("_") and not service.cluster_ip:
            ips = [member.ip for member in service.members if host == _host(member)]
            return _addresses(name, ips, kind) if ips else Answer(Code.NO_NAME)
        case [protocol] if protocol in ("_tcp", "_udp"):
            return Answer(Code.OK)
        case [port, protocol] if port.startswith("_") and protocol in ("_tcp", "_udp"):
            return _srv(service, base, port[1:], protocol[1:].upper(), name, kind)
    return Answer(Code.NO_NAME)


def _srv(service: Service, base: str, port: str, protocol: str, name: str, kind: int) -> Answer:
    found = list(_targets(service, base, port, protocol))
    if not found:
        return Answer(Code.NO_NAME)
    if kind not in (Type.SRV, Type.ANY):
        return Answer(Code.OK)
    records = tuple(Record(name, Type.SRV, service_data(number, target)) for target, number, _ in found)
    extra = tuple(Record(target, Type.A, address_data(ip)) for target, _, ip in found)
    return Answer(Code.OK, records, extra)


def _targets(service: Service, base: str, port: str, protocol: str) -> Iterator[tuple[str, int, str]]:
    """Target, port and address of each SRV record."""
    if service.cluster_ip:
        for entry in service.ports:
            if entry.name == port and entry.protocol == protocol:
                yield base, entry.port, service.cluster_ip
        return
    for member in service.members:
        for name, kind, number in member.ports:
            if name == port and kind == protocol:
                yield f"{_host(member)}.{base}", number, member.ip


def _host(member: Member) -> str:
    return member.hostname or member.ip.replace(".", "-")


def _pod(name: str, dashed: str, kind: int) -> Answer:
    parts = dashed.split("-")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) < 256 for part in parts):
        return Answer(Code.NO_NAME)
    return _addresses(name, [".".join(parts)], kind)


def _addresses(name: str, ips: list[str], kind: int) -> Answer:
    if kind not in (Type.A, Type.ANY):
        return Answer(Code.OK)  # the name exists, but has nothing of that type
    return Answer(Code.OK, tuple(Record(name, Type.A, address_data(ip)) for ip in dict.fromkeys(ips)))
