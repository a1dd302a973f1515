"""ServiceEntry and WorkloadEntry: services and workloads that Kubernetes does not know.

Source: Istio, ServiceEntry: one service for each host.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from linnet.ingest.decode import Item, spec_of
from linnet.ingest.endpoints import ModeOf
from linnet.ingest.names import exports, spiffe
from linnet.ingest.report import Report
from linnet.ingest.services import protocol
from linnet.ingest.values import is_address, is_domain, is_port, subnet
from linnet.ingest.workloads import TLS_MODE, Workload
from linnet.model.policy import PeerMode
from linnet.model.service import Endpoint, Labels, Port, Resolution, Service
from linnet.model.snapshot import MeshConfig
from linnet.objects.service_entry import EntryPort, ServiceEntrySpec, WorkloadEntrySpec

Mode = Callable[[Workload, int], PeerMode]
_RESOLUTIONS = {
    None: Resolution.PASSTHROUGH,
    "NONE": Resolution.PASSTHROUGH,
    "STATIC": Resolution.ENDPOINTS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.DNS_ROUND_ROBIN,
}


class Entry(Struct, frozen=True):
    """What a ServiceEntry says: its services, one for each host, and their endpoints."""

    services: tuple[Service, ...]
    inline: tuple[WorkloadEntrySpec, ...] = ()
    selector: Labels | None = None


def entry(held: Item, report: Report) -> Entry | None:
    """What an object says; hosts, ports, addresses that are wrong are left out. None if not readable."""
    spec = spec_of(held, ServiceEntrySpec, report)
    if spec is None:
        return None
    if spec.resolution not in _RESOLUTIONS:
        report.not_honoured("spec.resolution")
        return None
    resolution = _RESOLUTIONS[spec.resolution]
    hosts = [
        host.lower() for number, host in enumerate(spec.hosts) if _host(host, resolution, number, report)
    ]
    addresses = tuple(filter(None, (_address(text, n, report) for n, text in enumerate(spec.addresses))))
    ports = _ports(spec.ports, report)
    selector = frozenset((spec.workload_selector.labels or {}).items()) if spec.workload_selector else None
    services = tuple(
        Service(
            hostname=host,
            namespace=held.namespace,
            name=held.name,
            ports=ports,
            addresses=addresses if resolution is not Resolution.PASSTHROUGH or addresses else (),
            resolution=resolution,
            exported_to=exports(spec.export_to, held.namespace),
            created=held.created,
            kubernetes=False,
            external=spec.location != "MESH_INTERNAL",
            alternative_names=spec.subject_alt_names,
        )
        for host in dict.fromkeys(hosts)
    )
    inline = tuple(one for n, one in enumerate(spec.endpoints) if _inline(one, resolution, n, report))
    return Entry(services, inline, selector)


def _host(host: str, resolution: Resolution, number: int, report: Report) -> bool:
    if not is_domain(host) or host == "*":
        report.invalid(f"spec.hosts[{number}]", f"{host!r} is not the name of a host")
    elif host.startswith("*") and resolution in {Resolution.DNS, Resolution.DNS_ROUND_ROBIN}:
        report.invalid(f"spec.hosts[{number}]", "a wildcard cannot be resolved")
    else:
        return True
    return False


def _address(text: str, number: int, report: Report) -> str | None:
    network = subnet(text)
    if network is None or network in {"0.0.0.0/32", "::/128"}:
        report.invalid(f"spec.addresses[{number}]", f"{text!r} is not an address or a network")
        return None
    return network if "/" in text and not network.endswith(("/32", "/128")) else network.partition("/")[0]


def _ports(given: tuple[EntryPort, ...], report: Report) -> tuple[Port, ...]:
    """The ports; of several with one number the first counts."""
    found: dict[int, Port] = {}
    for number, one in enumerate(given):
        port = _port(one, number, report)
        if port is not None and port.number in found:
            report.invalid(f"spec.ports[{number}].number", f"{port.number} is there already")
        elif port is not None:
            found[port.number] = port
    return tuple(found.values())


def _port(port: EntryPort, number: int, report: Report) -> Port | None:
    if not is_port(port.number):
        report.invalid(f"spec.ports[{number}].number", f"{port.number} is not the number of a port")
        return None
    if port.target_port and not is_port(port.target_port):
        report.invalid(f"spec.ports[{number}].targetPort", f"{port.target_port} is not the number of a port")
        return None
    target = str(port.target_port) if port.target_port else ""
    return Port(port.number, port.name, protocol(port.protocol or "", None, 0), target)


def _inline(one: WorkloadEntrySpec, resolution: Resolution, number: int, report: Report) -> bool:
    path = f"spec.endpoints[{number}].address"
    address = one.address or ""
    if address.startswith("unix://"):
        report.not_honoured(path)
        return False
    if resolution is Resolution.ENDPOINTS and not is_address(address):
        report.invalid(path, f"{address!r} is not an IP address, which resolution STATIC needs")
        return False
    if resolution in {Resolution.DNS, Resolution.DNS_ROUND_ROBIN} and not is_domain(address):
        report.invalid(path, f"{address!r} is neither an address nor the name of a host")
        return False
    return resolution is not Resolution.PASSTHROUGH


def workload_entry(held: Item, config: MeshConfig, report: Report) -> Workload | None:
    """The workload that a WorkloadEntry is."""
    spec = spec_of(held, WorkloadEntrySpec, report)
    if spec is None:
        return None
    if not is_address(spec.address or ""):
        report.invalid("spec.address", "is not an IP address")
        return None
    labels = {**held.labels, **(spec.labels or {})}
    return Workload(
        namespace=held.namespace,
        name=held.name,
        address=spec.address or "",
        labels=frozenset(labels.items()),
        principal=_principal(spec, held.namespace, config.trust_domain),
        meshed=_meshed(spec),
        locality=spec.locality or "",
        identity=f"{held.name};{held.namespace};{labels.get('app', held.name)};{labels.get('version', '')};",
        hostname="",
        ports=tuple(sorted((name, port) for name, port in (spec.ports or {}).items() if is_port(port))),
    )


def _principal(spec: WorkloadEntrySpec, namespace: str, trust_domain: str) -> str:
    return spiffe(trust_domain, namespace, spec.service_account) if spec.service_account else ""


def _meshed(spec: WorkloadEntrySpec) -> bool:
    """A proxy is in front if a label says so, or if there is an identity.

    Source: Istio, TLS mode of WorkloadEntries.
    """
    told = (spec.labels or {}).get(TLS_MODE)
    return told == "istio" if told is not None else bool(spec.service_account)


def entry_endpoints(
    held: Entry, made: Service, selected: Iterable[Workload], mode_of: ModeOf
) -> tuple[Endpoint, ...]:
    """The endpoints of one service of an entry, ordered."""
    found: dict[tuple[str, str], Endpoint] = {}
    for port in made.ports:
        usual = int(port.target) if port.target else port.number
        for one in held.inline:
            number = (one.ports or {}).get(port.name, usual)
            endpoint = Endpoint(
                address=one.address or "",
                port=number,
                port_name=port.name,
                labels=frozenset((one.labels or {}).items()),
                principal="" if made.external else _principal(one, made.namespace, "cluster.local"),
                meshed=not made.external and _meshed(one),
                locality=one.locality or "",
                weight=min(max(one.weight or 1, 1), 65_535),
            )
            if is_port(number):
                found.setdefault((endpoint.address, port.name), endpoint)
        for pod in selected:
            number = dict(pod.ports).get(port.name, usual)
            found.setdefault(
                (pod.address, port.name),
                Endpoint(
                    address=pod.address,
                    port=number,
                    port_name=port.name,
                    labels=pod.labels,
                    principal=pod.principal,
                    meshed=pod.meshed and mode_of(pod, number) is not PeerMode.DISABLE,
                    locality=pod.locality,
                    workload=pod.identity,
                ),
            )
    return tuple(sorted(found.values(), key=lambda e: (e.address, e.port_name, e.port)))
