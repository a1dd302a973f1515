"""Services, workloads and endpoints: a fold over Services, EndpointSlices, Pods and ServiceEntries.

A change costs what it touches: a pod's change the services whose slices name it, a slice's one service.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import Struct

from linnet.ingest.decode import Key, Raw, core, item
from linnet.ingest.draft import Draft
from linnet.ingest.endpoints import SERVICE_NAME, backends, endpoints, pods_of
from linnet.ingest.entries import Entry, entry, entry_endpoints, workload_entry
from linnet.ingest.honour import report_not_honoured
from linnet.ingest.names import order, service_host
from linnet.ingest.peers import Modes
from linnet.ingest.report import Report
from linnet.ingest.services import alias, service
from linnet.ingest.workloads import Workload, workload
from linnet.model.policy import PeerMode
from linnet.model.problem import Problem, Ref
from linnet.model.service import Backends, Endpoint, Resolution, Service, ServiceKey
from linnet.model.snapshot import MeshConfig
from linnet.objects import core as kubernetes

Problems = dict[Ref, tuple[Problem, ...]]
K = TypeVar("K")
V = TypeVar("V")


class Registry(Struct, frozen=True, eq=False):
    """What is known of services; the first block is what they are made of."""

    declared: Mapping[Key, kubernetes.Service]
    slices: Mapping[Key, kubernetes.EndpointSlice]
    slices_of: Mapping[Key, frozenset[Key]]  # service -> its slices
    workloads: Mapping[Key, Workload]
    used_by: Mapping[Key, frozenset[Key]]  # pod -> services whose slices name it
    aliases: Mapping[str, frozenset[str]]  # hostname -> names of ExternalName Services that point to it
    entries: Mapping[Key, Entry]
    workload_entries: Mapping[Key, Workload]

    services: Mapping[ServiceKey, Service]
    endpoints: Mapping[ServiceKey, tuple[Endpoint, ...]]
    backends: Mapping[ServiceKey, Backends]
    by_namespace: Mapping[str, tuple[Service, ...]]  # Kubernetes' own, by age and name


EMPTY = Registry({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})
_NO_KEYS: frozenset[Key] = frozenset()


@dataclass(slots=True)
class Fold:
    """The registry while changes are applied to it."""

    before: Registry
    config: MeshConfig
    modes: Modes
    problems: Problems = field(default_factory=dict)
    _stale_services: set[Key] = field(default_factory=set)  # Services to make anew
    _stale_endpoints: set[Key] = field(default_factory=set)  # Services whose endpoints to make anew
    _stale_entries: set[Key] = field(default_factory=set)
    _released: set[ServiceKey] = field(default_factory=set)  # hosts that another claim may get now

    declared: Draft[Key, kubernetes.Service] = field(init=False)
    slices: Draft[Key, kubernetes.EndpointSlice] = field(init=False)
    slices_of: Draft[Key, frozenset[Key]] = field(init=False)
    workloads: Draft[Key, Workload] = field(init=False)
    used_by: Draft[Key, frozenset[Key]] = field(init=False)
    aliases: Draft[str, frozenset[str]] = field(init=False)
    entries: Draft[Key, Entry] = field(init=False)
    workload_entries: Draft[Key, Workload] = field(init=False)
    services: Draft[ServiceKey, Service] = field(init=False)
    endpoints: Draft[ServiceKey, tuple[Endpoint, ...]] = field(init=False)
    backends: Draft[ServiceKey, Backends] = field(init=False)
    by_namespace: Draft[str, tuple[Service, ...]] = field(init=False)

    def __post_init__(self) -> None:
        for name in Registry.__struct_fields__:
            setattr(self, name, Draft(getattr(self.before, name)))

    # -- what changed ------------------------------------------------------------------------------

    def service(self, key: Key, raw: Raw | None) -> None:
        """A Service was applied, or with None deleted."""
        before = self.declared.get(key)
        held = core(raw, kubernetes.Service) if raw is not None else None
        if not self.declared.put(key, held):
            return
        self._stale_services.add(key)
        self._stale_endpoints.add(key)
        for one, present in ((before, False), (held, True)):
            pair = alias(one, self.config.domain) if one is not None else None
            if pair is not None:
                _link(self.aliases, pair[1], pair[0], present=present)
                self._stale_services |= self._named(pair[1])

    def slice(self, key: Key, raw: Raw | None) -> None:
        """An EndpointSlice was applied, or with None deleted."""
        before = self.slices.get(key)
        held = core(raw, kubernetes.EndpointSlice) if raw is not None else None
        if not self.slices.put(key, held):
            return
        for one, present in ((before, False), (held, True)):
            owner = _owner(one) if one is not None else None
            if one is None or owner is None:
                continue
            self._stale_endpoints.add(owner)
            _link(self.slices_of, owner, key, present=present)
            for pod in pods_of(one):
                _link(self.used_by, (key[0], pod), owner, present=present)

    def pod(self, key: Key, raw: Raw | None) -> None:
        """A Pod was applied, or with None deleted."""
        held = core(raw, kubernetes.Pod) if raw is not None else None
        known = workload(held, self.config.trust_domain, "Kubernetes") if held is not None else None
        if self.workloads.put(key, known):
            self._stale_endpoints |= self.used_by.get(key) or _NO_KEYS
            self._select_again(key[0])

    def entry(self, key: Key, raw: Raw | None) -> None:
        """A ServiceEntry was applied, or with None deleted."""
        held: Entry | None = None
        ref = Ref("ServiceEntry", *key)
        if raw is not None:
            report = Report(ref)
            read = item("ServiceEntry", key, raw)
            report_not_honoured("ServiceEntry", read.spec, report)
            held = entry(read, report)
            self.problems[ref] = tuple(report.found)
        else:
            self.problems[ref] = ()
        before = self.entries.get(key)
        if self.entries.put(key, held):
            self._stale_entries.add(key)
            for one in (before, held):
                for made in one.services if one is not None else ():
                    self._stale_services |= self._named(made.hostname)
                    self.services.put(made.key, None)
                    self.endpoints.put(made.key, None)
                    self.backends.put(made.key, None)
                    self._released.add(made.key)

    def workload_entry(self, key: Key, raw: Raw | None) -> None:
        """A WorkloadEntry was applied, or with None deleted."""
        held: Workload | None = None
        ref = Ref("WorkloadEntry", *key)
        report = Report(ref)
        if raw is not None:
            read = item("WorkloadEntry", key, raw)
            report_not_honoured("WorkloadEntry", read.spec, report)
            held = workload_entry(read, self.config, report)
        self.problems[ref] = tuple(report.found)
        if self.workload_entries.put(key, held):
            self._select_again(key[0])

    def modes_changed(self) -> None:
        """Which connections workloads take is another: endpoints carry it."""
        self._stale_endpoints |= set(self.declared.result())
        self._stale_entries |= set(self.entries.result())

    # -- what follows ------------------------------------------------------------------------------

    def result(self) -> Registry:
        """The registry with all changes."""
        namespaces = set()
        for key in sorted(self._stale_services):
            self._make_service(key)
            namespaces.add(key[0])
        for key in sorted(self._stale_endpoints):
            self._make_endpoints(key)
        self._make_entries()
        for namespace in namespaces:
            self._make_namespace(namespace)
        return Registry(*(getattr(self, name).result() for name in Registry.__struct_fields__))

    def _named(self, hostname: str) -> set[Key]:
        """The Service with a hostname, if there is one."""
        name, _, rest = hostname.partition(".")
        key = (rest.removesuffix(f".svc.{self.config.domain}"), name)
        same = service_host(key[1], key[0], self.config.domain) == hostname
        return {key} if same and self.declared.get(key) is not None else set()

    def _make_service(self, key: Key) -> None:
        held = self.declared.get(key)
        hostname = service_host(key[1], key[0], self.config.domain)
        made: Service | None = None
        if held is not None and held.spec.type != "ExternalName":
            made = service(held, self.config.domain, tuple(sorted(self.aliases.get(hostname) or ())))
        if self.services.put((key[0], hostname), made) and made is None:
            self._released.add((key[0], hostname))

    def _make_endpoints(self, key: Key) -> None:
        service_key = (key[0], service_host(key[1], key[0], self.config.domain))
        known = self.services.get(service_key)
        if known is None:
            self.endpoints.put(service_key, None)
            self.backends.put(service_key, None)
            return
        keys = sorted(self.slices_of.get(key) or ())
        held = (self.slices.get(one) for one in keys)
        found = endpoints((one for one in held if one is not None), self._lookup, self._mode_of)
        self._put_endpoints(known, found)

    def _put_endpoints(self, known: Service, found: tuple[Endpoint, ...]) -> None:
        self.endpoints.put(known.key, found)
        headless = known.resolution is Resolution.PASSTHROUGH
        self.backends.put(known.key, backends(found, headless=headless))

    def _lookup(self, namespace: str, name: str) -> Workload | None:
        return self.workloads.get((namespace, name))

    def _mode_of(self, held: Workload, port: int) -> PeerMode:
        return self.modes.of(held.namespace, held.labels).on(port)

    def _select_again(self, namespace: str) -> None:
        for key, held in self.entries.result().items():
            if key[0] == namespace and held.selector is not None:
                self._stale_entries.add(key)

    def _make_entries(self) -> None:
        """Services of ServiceEntries; for a host that has a claim already, only the first one counts."""
        if self._released:
            for key, claimant in self.entries.result().items():
                if any(made.key in self._released for made in claimant.services):
                    self._stale_entries.add(key)
        for key in sorted(self._stale_entries, key=self._age):
            held = self.entries.get(key)
            for made in held.services if held is not None else ():
                assert held is not None
                if made.key in self._claimed(key, made.hostname):
                    continue
                self.services.put(made.key, made)
                selected = self._selected(key[0], held) if held.selector is not None else ()
                self._put_endpoints(made, entry_endpoints(held, made, selected, self._mode_of))

    def _age(self, key: Key) -> tuple[float, str, str]:
        held = self.entries.get(key)
        return order(held.services[0]) if held is not None and held.services else (0.0, *key)

    def _claimed(self, key: Key, hostname: str) -> set[ServiceKey]:
        """Keys that an older ServiceEntry or a Service of the namespace holds already."""
        taken: set[ServiceKey] = set()
        if self._named(hostname) and next(iter(self._named(hostname)))[0] == key[0]:
            taken.add((key[0], hostname))
        for other, held in self.entries.result().items():
            if other[0] == key[0] and other != key and self._age(other) < self._age(key):
                taken |= {made.key for made in held.services}
        return taken

    def _selected(self, namespace: str, held: Entry) -> Iterable[Workload]:
        assert held.selector is not None
        for table in (self.workloads.result(), self.workload_entries.result()):
            for key, one in table.items():
                if key[0] == namespace and held.selector <= one.labels and one.address:
                    yield one

    def _make_namespace(self, namespace: str) -> None:
        found = [
            known
            for key in self.declared.result()
            if key[0] == namespace
            and (known := self.services.get((namespace, service_host(key[1], namespace, self.config.domain))))
        ]
        self.by_namespace.put(namespace, tuple(sorted(found, key=order)) or None)


def _owner(held: kubernetes.EndpointSlice) -> Key | None:
    """The Service that a slice belongs to."""
    name = (held.metadata.labels or {}).get(SERVICE_NAME)
    return (held.metadata.namespace, name) if name else None


def _link(table: Draft[K, frozenset[V]], key: K, other: V, *, present: bool) -> None:
    """Add to, or take from, a set in a table."""
    held = table.get(key) or frozenset()
    table.put(key, (held | {other} if present else held - {other}) or None)
