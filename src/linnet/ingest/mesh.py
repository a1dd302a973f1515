"""The mesh as a fold over changes of objects: `advance(mesh, changes)` gives the next mesh.

    objects -> typed -> model values and problems -> snapshot

Work is done for what changed, and everything unchanged is shared with the mesh before.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from linnet.ingest.configuration import CONFIGURATION_KINDS, EMPTY_CONFIGURATION, Configuration
from linnet.ingest.configuration import advance as advance_configuration
from linnet.ingest.credentials import credential
from linnet.ingest.decode import Key, Raw, core
from linnet.ingest.draft import Draft
from linnet.ingest.mesh_config import mesh_config
from linnet.ingest.registry import EMPTY, Fold, Registry
from linnet.ingest.report import Report
from linnet.ingest.revisions import WEBHOOKS, Revisions, label_of, revisions
from linnet.ingest.serving import Serving, missing, serving
from linnet.model.problem import Problem, Ref
from linnet.model.snapshot import Credential, MeshConfig, Snapshot
from linnet.objects import core as kubernetes

Change = tuple[str, str, str]  # name of the kind, namespace, name
Changes = Mapping[Change, Raw | None]

ENTRIES = ("ServiceEntry", "WorkloadEntry")
# Kinds that the mesh is made of; changes of other kinds have no effect.
KINDS = (
    *("Service", "EndpointSlice", "Pod", "ConfigMap", "Secret", WEBHOOKS),
    *ENTRIES,
    *CONFIGURATION_KINDS,
)


class Options(Struct, frozen=True):
    """What the control plane knows before it reads any object.

    Istio objects with the label `istio.io/rev` of another revision, or of a tag of another, are not ours.
    `usual` is what holds where the mesh's ConfigMap says nothing.
    """

    namespace: str = "istio-system"
    config_map: str = "istio"
    revision: str = "default"
    usual: MeshConfig = MeshConfig()


USUAL = Options()


class Mesh(Struct, frozen=True, eq=False):
    """The mesh after some changes.

    `problems` holds an entry, perhaps empty, for each Istio object read, and one for those that name a
    revision that there is not. `own` are those that an object has
    by itself, without what others claim.
    """

    options: Options
    objects: Mapping[str, Mapping[Key, Raw]]  # as they came, by kind
    registry: Registry
    configuration: Configuration
    snapshot: Snapshot
    own: Mapping[Ref, tuple[Problem, ...]]
    problems: Mapping[Ref, tuple[Problem, ...]]
    serving: Serving = Serving()
    missing: Mapping[Ref, tuple[Problem, ...]] = MappingProxyType({})  # Secrets that Gateways lack
    revisions: Revisions = Revisions(frozenset())


def empty(options: Options = USUAL) -> Mesh:
    """A mesh without objects."""
    nothing: Mapping[str, Mapping[Key, Raw]] = MappingProxyType({})
    return _anew(options, options.usual, nothing)


def advance(mesh: Mesh, changes: Changes) -> Mesh:
    """The mesh after changes; None for an object that is gone.

    The result shares with `mesh` whatever did not change, `mesh.snapshot` as a whole if nothing did.
    """
    objects = _kept(mesh, changes)
    problems = Draft(mesh.own)
    config = _config(mesh, objects, problems)
    known = mesh.revisions
    if objects.get(WEBHOOKS) is not mesh.objects.get(WEBHOOKS):
        known = revisions(mesh.options.revision, objects.get(WEBHOOKS, {}).values())
    if known != mesh.revisions:
        changes = {**_labelled(objects), **changes}
        mesh = replace(mesh, revisions=known)
    if config != mesh.snapshot.config:
        started = replace(_anew(mesh.options, config, objects), revisions=known)
        before = MappingProxyType(
            {ref: held for ref, held in problems.result().items() if ref.kind == "ConfigMap"}
        )
        every = {(kind, *key): raw for kind, held in objects.items() for key, raw in held.items()}
        return _folded(replace(started, own=before), every, objects)
    return _folded(replace(mesh, own=problems.result()), changes, objects)


def _anew(options: Options, config: MeshConfig, objects: Mapping[str, Mapping[Key, Raw]]) -> Mesh:
    snapshot = Snapshot(
        config=config,
        services={},
        endpoints={},
        backends={},
        virtual_services=(),
        destination_rules=(),
        namespace_modes={},
        credentials={},
    )
    nothing: Mapping[Ref, tuple[Problem, ...]] = MappingProxyType({})
    ours = Revisions(frozenset({options.revision}))
    return Mesh(options, objects, EMPTY, EMPTY_CONFIGURATION, snapshot, nothing, nothing, revisions=ours)


def _kept(mesh: Mesh, changes: Changes) -> Mapping[str, Mapping[Key, Raw]]:
    """All objects as they came, with the changes. Objects are kept by reference."""
    kinds = dict(mesh.objects)
    copied: set[str] = set()
    for (kind, *key), raw in changes.items():
        if kind not in KINDS:
            continue
        if kind not in copied:
            kinds[kind] = dict(kinds.get(kind, {}))
            copied.add(kind)
        held = kinds[kind]
        assert isinstance(held, dict)
        if raw is None:
            held.pop((key[0], key[1]), None)
        else:
            held[(key[0], key[1])] = raw
    return kinds


def _config(
    mesh: Mesh, objects: Mapping[str, Mapping[Key, Raw]], problems: Draft[Ref, tuple[Problem, ...]]
) -> MeshConfig:
    """The mesh's configuration; the one before if its ConfigMap did not change."""
    options = mesh.options
    key = (options.namespace, options.config_map)
    raw = objects.get("ConfigMap", {}).get(key)
    if raw is mesh.objects.get("ConfigMap", {}).get(key):
        return mesh.snapshot.config
    ref = Ref("ConfigMap", *key)
    held = core(raw, kubernetes.ConfigMap) if raw is not None else None
    text = ((held.data or {}).get("mesh") if held is not None else None) or ""
    report = Report(ref)
    config = mesh_config(text, options.usual, report)
    problems.put(ref, tuple(report.found) if raw is not None else None)
    return config


def _labelled(objects: Mapping[str, Mapping[Key, Raw]]) -> Changes:
    """Every Istio object that names a revision, as if it came again: who owns it may be another now."""
    return {
        (kind, *key): raw
        for kind in (*ENTRIES, *CONFIGURATION_KINDS)
        for key, raw in objects.get(kind, {}).items()
        if label_of(raw)
    }


def _folded(mesh: Mesh, changes: Changes, objects: Mapping[str, Mapping[Key, Raw]]) -> Mesh:
    """The mesh with changes of everything but its own configuration."""
    config, owners = mesh.snapshot.config, mesh.revisions
    problems = Draft(mesh.own)
    ours = {
        change: raw if raw is not None and owners.owns(raw) else None
        for change, raw in changes.items()
        if change[0] in CONFIGURATION_KINDS or change[0] in ENTRIES
    }
    istio = {change: raw for change, raw in ours.items() if change[0] in CONFIGURATION_KINDS}
    configuration = advance_configuration(mesh.configuration, istio, config, problems)
    fold = Fold(mesh.registry, config, configuration.modes)
    credentials = Draft(mesh.snapshot.credentials)
    _fold(fold, {**changes, **ours}, credentials, problems)
    if configuration.modes is not mesh.configuration.modes:
        fold.modes_changed()
    registry = fold.result()
    for ref, found in fold.problems.items():
        present = ref in problems.result() or found or (ref.namespace, ref.name) in objects.get(ref.kind, {})
        problems.put(ref, found if present else None)
    _disown(changes, ours, owners, problems)
    snapshot = _snapshot(mesh.snapshot, registry, configuration, credentials.result())
    own = problems.result()
    pods = ((namespace, name) for kind, namespace, name in changes if kind == "Pod")
    served = serving(mesh.serving, configuration.gateways, registry.workloads, pods)
    lacked = mesh.missing
    if served is not mesh.serving or any(kind == "Secret" for kind, _, _ in changes):
        lacked = missing(served, snapshot.credentials, own)
    others = ((mesh.configuration.conflicts, configuration.conflicts), (mesh.missing, lacked))
    told = _told(mesh.problems, own, problems.touched, others)
    return Mesh(mesh.options, objects, registry, configuration, snapshot, own, told, served, lacked, owners)


def _fold(
    fold: Fold,
    changes: Changes,
    credentials: Draft[Key, Credential],
    problems: Draft[Ref, tuple[Problem, ...]],
) -> None:
    """Take in what the registry and the credentials are made of."""
    steps = {
        "Service": fold.service,
        "EndpointSlice": fold.slice,
        "Pod": fold.pod,
        "ServiceEntry": fold.entry,
        "WorkloadEntry": fold.workload_entry,
    }
    for (kind, namespace, name), raw in changes.items():
        if kind in steps:
            steps[kind]((namespace, name), raw)
        elif kind == "Secret":
            _credential((namespace, name), raw, credentials, problems)


def _disown(
    changes: Changes, ours: Changes, owners: Revisions, problems: Draft[Ref, tuple[Problem, ...]]
) -> None:
    """Forget the problems of what is gone, or another revision's; say so of what is nobody's."""
    for change, raw in changes.items():
        ref = Ref(*change)
        if raw is None:
            problems.put(ref, None)
        elif ours.get(change, raw) is None:
            problems.put(ref, (owners.orphan(ref, raw),) if owners.nobodys(raw) else None)


Problems = Mapping[Ref, tuple[Problem, ...]]


def _told(
    before: Problems, own: Problems, changed: set[Ref], others: Sequence[tuple[Problems, Problems]]
) -> Problems:
    """All problems: an object's own, and those that come from other objects (each before and now)."""
    told = Draft(before)
    stale = set(changed) if before else set(own)
    for then, now in others:
        if now is not then:
            stale |= set(then) | set(now)
    foreign = [now for _, now in others]
    for ref in stale:
        more = (problem for held in foreign for problem in held.get(ref, ()))
        told.put(ref, (*own[ref], *more) if ref in own else None)
    return told.result()


def _credential(
    key: Key,
    raw: Raw | None,
    credentials: Draft[Key, Credential],
    problems: Draft[Ref, tuple[Problem, ...]],
) -> None:
    ref = Ref("Secret", *key)
    report = Report(ref)
    held = core(raw, kubernetes.Secret) if raw is not None else None
    credentials.put(key, credential(held, report) if held is not None else None)
    problems.put(ref, tuple(report.found) or None)


def _snapshot(
    before: Snapshot, registry: Registry, configuration: Configuration, credentials: Mapping[Key, Credential]
) -> Snapshot:
    """The next snapshot; the one before if nothing in it is another."""
    after = Snapshot(
        config=before.config,
        services=registry.services,
        endpoints=registry.endpoints,
        backends=registry.backends,
        virtual_services=configuration.virtual_services,
        destination_rules=configuration.destination_rules,
        namespace_modes=configuration.modes.namespaces,
        credentials=credentials,
    )
    same = all(getattr(after, name) is getattr(before, name) for name in Snapshot.__struct_fields__)
    return before if same else after
