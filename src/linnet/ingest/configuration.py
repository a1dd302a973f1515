"""Istio's own objects: each is read by itself, and they are put into the order of claims."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from linnet.ingest.authorization import authorization_policy
from linnet.ingest.conflicts import conflicts
from linnet.ingest.decode import Item, Key, Raw, item
from linnet.ingest.draft import Draft
from linnet.ingest.gateways import gateway
from linnet.ingest.honour import WITHOUT_EFFECT, report_not_honoured
from linnet.ingest.names import order
from linnet.ingest.peers import NO_MODES, Modes, modes, peer_authentication
from linnet.ingest.report import Report
from linnet.ingest.routes import virtual_service
from linnet.ingest.rules import destination_rule
from linnet.ingest.sidecars import sidecar
from linnet.ingest.tokens import request_authentication
from linnet.model.gateway import Gateway
from linnet.model.policy import AuthorizationPolicy, DestinationRule, PeerAuthentication
from linnet.model.problem import Problem, Ref
from linnet.model.route import VirtualService
from linnet.model.sidecar import Sidecar
from linnet.model.snapshot import MeshConfig
from linnet.model.tokens import RequestAuthentication

Reader = Callable[[Item, MeshConfig, Report], Any]
Changes = Mapping[tuple[str, str, str], Raw | None]

_READERS: Mapping[str, Reader] = {
    "VirtualService": virtual_service,
    "DestinationRule": destination_rule,
    "Gateway": gateway,
    "PeerAuthentication": lambda held, _config, report: peer_authentication(held, report),
    "RequestAuthentication": lambda held, _config, report: request_authentication(held, report),
    "Sidecar": lambda held, _config, report: sidecar(held, report),
    "AuthorizationPolicy": lambda held, _config, report: authorization_policy(held, report),
}
CONFIGURATION_KINDS = (*_READERS, *WITHOUT_EFFECT)


class Configuration(Struct, frozen=True, eq=False):
    """All Istio objects that are readable. Sequences are in the order of claims."""

    by_kind: Mapping[str, Mapping[Key, Any]]
    virtual_services: tuple[VirtualService, ...] = ()
    destination_rules: tuple[DestinationRule, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    peers: tuple[PeerAuthentication, ...] = ()
    authorizations: tuple[AuthorizationPolicy, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    tokens: tuple[RequestAuthentication, ...] = ()
    modes: Modes = NO_MODES
    conflicts: Mapping[Ref, tuple[Problem, ...]] = MappingProxyType({})
    source_labels: frozenset[str] = frozenset()  # keys of proxies' labels that some route asks for


EMPTY_CONFIGURATION = Configuration({})


def advance(
    before: Configuration, changes: Changes, config: MeshConfig, problems: Draft[Ref, tuple[Problem, ...]]
) -> Configuration:
    """The configuration after changes; `before` itself if they change nothing."""
    drafts: dict[str, Draft[Key, Any]] = {}
    for (kind, namespace, name), raw in changes.items():
        draft = drafts.setdefault(kind, Draft(before.by_kind.get(kind, {})))
        report = Report(Ref(kind, namespace, name))
        key = (namespace, name)
        if raw is not None:
            held = item(kind, key, raw)
            report_not_honoured(kind, held.spec, report)
            reader = _READERS.get(kind)
            draft.put(key, reader(held, config, report) if reader is not None else None)
        else:
            draft.put(key, None)
        problems.put(report.about, tuple(report.found))
    changed = {kind: draft.result() for kind, draft in drafts.items() if draft.touched}
    if not changed:
        return before
    by_kind = {**before.by_kind, **changed}

    def ordered(kind: str, held: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(sorted(by_kind[kind].values(), key=order)) if kind in changed else held

    virtual_services = ordered("VirtualService", before.virtual_services)
    gateways = ordered("Gateway", before.gateways)
    claims = "VirtualService" in changed or "Gateway" in changed
    peers = ordered("PeerAuthentication", before.peers)
    return Configuration(
        by_kind=by_kind,
        virtual_services=virtual_services,
        destination_rules=ordered("DestinationRule", before.destination_rules),
        gateways=gateways,
        peers=peers,
        authorizations=ordered("AuthorizationPolicy", before.authorizations),
        sidecars=ordered("Sidecar", before.sidecars),
        tokens=ordered("RequestAuthentication", before.tokens),
        modes=modes(peers, config.root_namespace) if "PeerAuthentication" in changed else before.modes,
        conflicts=conflicts(virtual_services, gateways) if claims else before.conflicts,
        source_labels=_source_labels(virtual_services)
        if "VirtualService" in changed
        else before.source_labels,
    )


def _source_labels(held: tuple[VirtualService, ...]) -> frozenset[str]:
    requests = [match.source for one in held for rule in one.http for match in rule.matches]
    connections = [match.source for one in held for rule in (*one.tls, *one.tcp) for match in rule.matches]
    return frozenset(key for source in (*requests, *connections) for key, _ in source.labels)
