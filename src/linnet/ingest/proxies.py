"""What a connected proxy may see: its view of a mesh."""

from dataclasses import dataclass, field

from linnet.ingest.mesh import Mesh
from linnet.ingest.sidecars import sidecar_of
from linnet.ingest.workloads import Workload
from linnet.model.policy import AuthorizationPolicy
from linnet.model.proxy import Inbound, InboundPort, Outbound, ProxyClaim, ProxyKind, ProxyView, Router
from linnet.model.service import Labels, Protocol, Service
from linnet.model.tokens import Issuer


def view(claim: ProxyClaim, mesh: Mesh) -> ProxyView:
    """The view of a proxy; proxies that see the same have equal views.

    The pod's labels are the API server's if it knows the pod, else those of the claim.
    """
    pod = mesh.registry.workloads.get((claim.namespace, claim.pod))
    labels = pod.labels if pod is not None else claim.labels
    asked = mesh.configuration.source_labels
    seen = frozenset(pair for pair in labels if pair[0] in asked) if asked else frozenset()
    if claim.kind is ProxyKind.ROUTER:
        outbound = Outbound(claim.kind, claim.namespace, seen)
        return ProxyView(outbound, router=_router(claim, pod, labels, mesh))
    root = mesh.snapshot.config.root_namespace
    held = sidecar_of(mesh.configuration.sidecars, claim.namespace, labels, root)
    outbound = Outbound(
        claim.kind,
        claim.namespace,
        seen,
        held.sight_from(claim.namespace) if held is not None else None,
        held.allow_any if held is not None else None,
    )
    return ProxyView(outbound, inbound=_inbound(claim, pod, labels, mesh))


@dataclass(slots=True)
class Views:
    """Remembers views: a proxy whose part of the mesh did not change costs nothing.

    Call `end_push` after each push; proxies that were not asked for since the last are forgotten.
    """

    _known: dict[ProxyClaim, tuple[tuple[object, ...], ProxyView]] = field(default_factory=dict)
    _asked: dict[ProxyClaim, tuple[tuple[object, ...], ProxyView]] = field(default_factory=dict)
    computed: int = 0

    def view(self, claim: ProxyClaim, mesh: Mesh) -> ProxyView:
        """As `view`, from memory where the inputs are the same."""
        inputs = (
            mesh.registry.workloads.get((claim.namespace, claim.pod)),
            mesh.registry.by_namespace.get(claim.namespace),
            mesh.configuration,
            mesh.snapshot.config,
        )
        known = self._asked.get(claim) or self._known.get(claim)
        if known is None or any(a is not b for a, b in zip(known[0], inputs, strict=True)):
            known = (inputs, view(claim, mesh))
            self.computed += 1
        self._asked[claim] = known
        return known[1]

    def end_push(self) -> None:
        """Forget proxies that were not asked for since the last call."""
        self._known, self._asked = self._asked, {}


def _selected(services: tuple[Service, ...], labels: Labels) -> list[Service]:
    return [one for one in services if one.selector is not None and one.selector <= labels]


def _policies(mesh: Mesh, namespace: str, labels: Labels) -> tuple[AuthorizationPolicy, ...]:
    """Policies for a workload: those of its namespace and of the root namespace that select it."""
    homes = {namespace, mesh.snapshot.config.root_namespace}
    return tuple(
        policy
        for policy in mesh.configuration.authorizations
        if policy.namespace in homes and (policy.selector is None or policy.selector <= labels)
    )


def _issuers(mesh: Mesh, namespace: str, labels: Labels) -> tuple[Issuer, ...]:
    """Whose tokens a workload believes, by what is said for its namespace and for the mesh."""
    homes = {namespace, mesh.snapshot.config.root_namespace}
    found = [
        issuer
        for one in mesh.configuration.tokens
        if one.namespace in homes and (one.selector is None or one.selector <= labels)
        for issuer in one.issuers
    ]
    return tuple(dict.fromkeys(found))


def _target(pod: Workload | None, target: str, number: int) -> int | None:
    if pod is not None:
        return pod.port(target, number)
    if not target:
        return number
    return int(target) if target.isdecimal() else None


def _inbound(claim: ProxyClaim, pod: Workload | None, labels: Labels, mesh: Mesh) -> Inbound:
    effective = mesh.configuration.modes.of(claim.namespace, labels)
    ports: dict[int, InboundPort] = {}
    for service in _selected(mesh.registry.by_namespace.get(claim.namespace, ()), labels):
        for port in service.ports:
            target = _target(pod, port.target, port.number)
            if target is not None and port.protocol is not Protocol.UDP and target not in ports:
                ports[target] = InboundPort(
                    target=target,
                    protocol=port.protocol,
                    service_port=port.number,
                    hostname=service.hostname,
                    name=service.name,
                    namespace=service.namespace,
                    mode=effective.on(target),
                )
    return Inbound(
        ports=tuple(ports[target] for target in sorted(ports)),
        mode=effective.mode,
        modes=tuple((port, mode) for port, mode in effective.ports if port not in ports),
        policies=_policies(mesh, claim.namespace, labels),
        issuers=_issuers(mesh, claim.namespace, labels),
    )


def _router(claim: ProxyClaim, pod: Workload | None, labels: Labels, mesh: Mesh) -> Router:
    targets: dict[int, int] = {}
    for service in _selected(mesh.registry.by_namespace.get(claim.namespace, ()), labels):
        for port in service.ports:
            target = _target(pod, port.target, port.number)
            if target is not None:
                targets.setdefault(port.number, target)
    return Router(
        gateways=tuple(gateway for gateway in mesh.configuration.gateways if gateway.selector <= labels),
        targets=tuple(sorted(targets.items())),
        policies=_policies(mesh, claim.namespace, labels),
        issuers=_issuers(mesh, claim.namespace, labels),
    )
