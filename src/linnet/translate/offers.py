"""Offers: everything that proxies with one view shall hold.

Two kinds of memory make the cost of a push that of its change. A resource is computed once for the arguments
that it is made of, for all views. The resources of one type are gathered once for the parts of the snapshot
that they depend on: parts that did not change are the same objects in the next snapshot.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msgspec.structs import replace

from linnet.ingest.credentials import usable
from linnet.model.memo import Memo
from linnet.model.policy import PeerMode, Subset
from linnet.model.proxy import Outbound, ProxyKind, ProxyView
from linnet.model.resource import CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Offer, Resource
from linnet.model.route import VirtualService
from linnet.model.service import NO_BACKENDS, Endpoint, Port, Protocol, Resolution, Service
from linnet.model.snapshot import MeshConfig, Snapshot
from linnet.translate import clusters, endpoints, gateways, inbound, listeners, names, routes, secrets, tokens
from linnet.translate.scope import Rules, policy_of, rules_in_sight, visible
from linnet.translate.targets import Targets

Resources = dict[str, Resource]
T = TypeVar("T")
_DNS = {Resolution.DNS, Resolution.DNS_ROUND_ROBIN}


class Scope:
    """What one outbound view sees: services in the order of claims, and how each is called."""

    def __init__(self, outbound: Outbound, snapshot: Snapshot) -> None:
        # only where the sight is narrowed: otherwise the scope outlives them
        self.virtual_services = rules_in_sight(snapshot.virtual_services, outbound.egress)
        self.services = visible(snapshot.services, outbound.namespace, outbound.egress, self.virtual_services)
        root = snapshot.config.root_namespace
        self.rules = Rules(snapshot.destination_rules, outbound.namespace, root)
        self.targets = Targets({service.hostname: service for service in self.services}, self.rules)


class Gathered:
    """What a view's proxies hold of one type, and what that was made from."""

    __slots__ = ("inputs", "value")

    def __init__(self, inputs: tuple[object, ...], value: Any) -> None:
        self.inputs, self.value = inputs, value


@dataclass(slots=True)
class Translator:
    """Makes offers, and remembers from push to push. Call `end_push` when every view was asked for.

    `computed` counts the resources that were made anew.
    """

    _memos: dict[Callable[..., Any], Memo[Any]] = field(default_factory=dict)
    _known: dict[object, Gathered] = field(default_factory=dict)
    _asked: dict[object, Gathered] = field(default_factory=dict)

    @property
    def computed(self) -> int:
        """How many resources were made anew since the beginning."""
        return sum(memo.computed for memo in self._memos.values())

    def offer(self, view: ProxyView, snapshot: Snapshot) -> Offer:
        """Everything that proxies with a view shall hold; the same object as before if nothing changed.

        Equal arguments give equal bytes. A resource that did not change is the same object.
        """
        parts = {
            CLUSTER: self._clusters(view, snapshot),
            ENDPOINTS: self._endpoints(view, snapshot),
            LISTENER: self._listeners(view, snapshot),
            ROUTES: self._routes(view, snapshot),
        }
        parts[SECRET] = self._secrets(view, snapshot)
        return self._gather(("offer", view), tuple(parts.values()), lambda: Offer(parts))

    def end_push(self) -> None:
        """Forget views that were not asked for since the last call."""
        self._known, self._asked = self._asked, {}

    # -- memory ------------------------------------------------------------------------------------

    def _gather(self, key: object, inputs: tuple[object, ...], make: Callable[[], T]) -> T:
        """`make()`, or what it gave before if all inputs are the same objects."""
        known = self._asked.get(key) or self._known.get(key)
        if known is None or not _same(known.inputs, inputs):
            known = Gathered(inputs, make())
        self._asked[key] = known
        held: T = known.value
        return held

    def _made(self, function: Callable[..., Resource], *args: Any) -> Resource:
        """A resource, from memory if it was made of equal arguments before."""
        memo = self._memos.get(function)
        if memo is None:
            memo = self._memos[function] = Memo(function)
        made: Resource = memo(*args)
        return made

    def _scope(self, outbound: Outbound, snapshot: Snapshot) -> Scope:
        # who sees everything sees the services whatever the VirtualServices are
        rules = snapshot.virtual_services if outbound.egress is not None else None
        inputs = (snapshot.services, snapshot.destination_rules, snapshot.config, rules)
        return self._gather(("scope", outbound.sight), inputs, lambda: Scope(outbound, snapshot))

    def _rules(self, outbound: Outbound, snapshot: Snapshot) -> Sequence[VirtualService]:
        """The VirtualServices that a view sees."""
        if outbound.egress is None:
            return snapshot.virtual_services
        return self._scope(outbound, snapshot).virtual_services

    def _config(self, outbound: Outbound, snapshot: Snapshot) -> MeshConfig:
        """The mesh's configuration as the proxies' Sidecar has it."""
        config, own = snapshot.config, outbound.allow_any
        if own is None or own == config.allow_any:
            return config
        return self._gather(("config", own), (config,), lambda: replace(config, allow_any=own))

    # -- clusters and endpoints --------------------------------------------------------------------

    def _clusters(self, view: ProxyView, snapshot: Snapshot) -> Resources:
        outbound = view.outbound
        scope = self._scope(outbound, snapshot)
        shared_key = ("clusters", outbound.sight)
        dns = {
            one.key: snapshot.endpoints.get(one.key, ()) for one in scope.services if one.resolution in _DNS
        }
        inputs = (scope, snapshot.backends, snapshot.namespace_modes, *dns.values())
        shared = self._gather(shared_key, inputs, lambda: self._service_clusters(outbound, scope, snapshot))
        own = () if view.inbound is None else view.inbound.ports
        servers = tokens.key_servers(view.issuers, scope.targets)

        def both() -> Resources:
            held = dict(shared)
            for port in own:
                made = self._made(clusters.inbound, port, snapshot.config)
                held[made.name] = made
            for server in servers:
                made = self._made(tokens.cluster, server, snapshot.config)
                held[made.name] = made
            return held

        return self._gather(("all clusters", outbound, own, servers), (shared, snapshot.config), both)

    def _service_clusters(self, outbound: Outbound, scope: Scope, snapshot: Snapshot) -> Resources:
        config = snapshot.config
        fixed = [clusters.black_hole]
        if outbound.kind is ProxyKind.SIDECAR:
            fixed += [clusters.passthrough, clusters.inbound_passthrough]
        made = [self._made(function, config) for function in fixed]
        modes = snapshot.namespace_modes
        usual = modes.get("", PeerMode.PERMISSIVE)
        for service in scope.services:
            backends = snapshot.backends.get(service.key, NO_BACKENDS)
            dns = snapshot.endpoints.get(service.key, ()) if service.resolution in _DNS else ()
            mode = modes.get(service.namespace, usual)
            rule = scope.rules.of(service.hostname, service.namespace)
            for port, subset in _parts(service, scope):
                kind = outbound.kind
                args = (kind, service, port, rule, subset, backends, dns, mode, config)
                made.append(self._made(clusters.service_cluster, *args))
        return {one.name: one for one in made}

    def _endpoints(self, view: ProxyView, snapshot: Snapshot) -> Resources:
        """Endpoints of all EDS clusters; after a change of endpoints alone only those of what changed."""
        outbound = view.outbound
        scope = self._scope(outbound, snapshot)
        key = ("endpoints", outbound.sight)
        known = self._asked.get(key) or self._known.get(key)
        before: Mapping[Any, Any] = {}
        held: Resources = {}
        if known is not None and known.inputs[0] is scope:
            now = known.inputs[1]
            assert isinstance(now, Mapping)
            before, held = now, known.value

        def make() -> Resources:
            changed = [
                one
                for one in scope.services
                if not held or before.get(one.key) is not snapshot.endpoints.get(one.key)
            ]
            fresh = [
                made for one in changed for made in self._service_endpoints(outbound, one, scope, snapshot)
            ]
            if held and all(held.get(made.name) is made for made in fresh):
                return held
            return {**held, **{made.name: made for made in fresh}}

        return self._gather(key, (scope, snapshot.endpoints), make)

    def _service_endpoints(
        self, outbound: Outbound, service: Service, scope: Scope, snapshot: Snapshot
    ) -> list[Resource]:
        found: tuple[Endpoint, ...] = snapshot.endpoints.get(service.key, ())
        rule = scope.rules.of(service.hostname, service.namespace)
        made = []
        for port, subset in _parts(service, scope):
            policy = policy_of(rule, subset, port.number)
            passes = clusters.is_passthrough(service, policy) and outbound.kind is ProxyKind.SIDECAR
            if service.resolution not in _DNS and not passes:
                name = names.outbound(port.number, service.hostname, subset.name if subset else "")
                args = (name, service, port, subset, found, policy.tls)
                made.append(self._made(endpoints.endpoints, *args))
        return made

    def _checks(self, view: ProxyView, snapshot: Snapshot) -> tokens.Checks:
        """What is demanded of requests."""
        if not view.issuers:
            return tokens.Checks(view.policies)
        return tokens.checks(view.policies, view.issuers, self._scope(view.outbound, snapshot).targets)

    # -- listeners and routes ----------------------------------------------------------------------

    def _plan(self, outbound: Outbound, snapshot: Snapshot) -> listeners.Planner:
        scope = self._scope(outbound, snapshot)

        def make() -> listeners.Planner:
            headless = {
                one.hostname: snapshot.backends.get(one.key, NO_BACKENDS)
                for one in scope.services
                if one.resolution is Resolution.PASSTHROUGH
            }
            planner = listeners.Planner(outbound, scope.targets, rules, headless)
            for service in scope.services:
                planner.add(service)
            return planner

        rules = self._rules(outbound, snapshot)
        inputs = (scope, snapshot.backends, rules)
        return self._gather(("plan", outbound), inputs, make)

    def _front(self, view: ProxyView, snapshot: Snapshot) -> gateways.Planner:
        scope = self._scope(view.outbound, snapshot)
        router = view.router
        assert router is not None
        inputs = (scope, snapshot.virtual_services, snapshot.credentials)
        namespace = view.outbound.namespace

        def make() -> gateways.Planner:
            held = usable(snapshot.credentials, namespace)
            rules = snapshot.virtual_services
            return gateways.Planner(router, view.outbound, rules, scope.targets, held)

        return self._gather(("front", view), inputs, make)

    def _listeners(self, view: ProxyView, snapshot: Snapshot) -> Resources:
        config = self._config(view.outbound, snapshot)
        if view.router is not None:
            front, checks = self._front(view, snapshot), self._checks(view, snapshot)

            def doors() -> Resources:
                made = (self._made(gateways.listener, one, checks, config) for one in front.fronts())
                return {one.name: one for one in made}

            return self._gather(("listeners", view), (front, config), doors)
        plan, held = self._plan(view.outbound, snapshot), view.inbound
        checks = self._checks(view, snapshot)

        def make() -> Resources:
            made = [self._made(listeners.service_listener, one, config) for one in plan.plans()]
            made.append(self._made(listeners.virtual_outbound, config))
            if held is not None:
                made.append(self._made(inbound.virtual_inbound, held, checks, config))
            return {one.name: one for one in made}

        return self._gather(("listeners", view), (plan, config), make)

    def _routes(self, view: ProxyView, snapshot: Snapshot) -> Resources:
        if view.router is not None:
            front = self._front(view, snapshot)

            def tables() -> Resources:
                made = (self._made(routes.table, name, hosts, None) for name, hosts in front.tables())
                return {one.name: one for one in made}

            return self._gather(("routes", view), (front,), tables)
        plan = self._plan(view.outbound, snapshot)
        inputs = (plan,)
        return self._gather(
            ("routes", view.outbound), inputs, lambda: self._mesh_tables(view.outbound, plan, snapshot)
        )

    def _mesh_tables(self, outbound: Outbound, plan: listeners.Planner, snapshot: Snapshot) -> Resources:
        scope = self._scope(outbound, snapshot)
        rules = routes.MeshRules(self._rules(outbound, snapshot), outbound.namespace)
        config = self._config(outbound, snapshot)
        maker = routes.Tables(outbound, scope.services, rules, scope.targets, config.domain)
        made = []
        for held in plan.plans():
            if held.route == str(held.port):
                args = (held.route, maker.of_port(held.port), config.allow_any)
                made.append(self._made(routes.table, *args))
        for service, port in plan.sniffed:
            name = f"{service.hostname}:{port.number}"
            made.append(self._made(routes.table, name, maker.of_service(service, port), None))
        return {one.name: one for one in made}

    # -- secrets -----------------------------------------------------------------------------------

    def _secrets(self, view: ProxyView, snapshot: Snapshot) -> Resources:
        router, namespace, config = view.router, view.outbound.namespace, snapshot.config

        fetched = any(issuer.uri.startswith("https:") for issuer in view.issuers)

        def make() -> Resources:
            made: Resources = {}
            asked = secrets.wants_system_roots(snapshot.destination_rules)
            if config.system_roots and (asked or fetched):
                roots = self._made(secrets.system_roots, config)
                made[roots.name] = roots
            for name in secrets.wanted(router.gateways) if router is not None else ():
                found = secrets.source_of(name, namespace, snapshot.credentials)
                if found is not None:
                    one = self._made(secrets.secret, name, *found)
                    made[one.name] = one
            return made

        inputs = (snapshot.credentials if router is not None else None, snapshot.destination_rules, config)
        return self._gather(("secrets", router, namespace, fetched), inputs, make)


def _same(before: tuple[object, ...], now: tuple[object, ...]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


def _parts(service: Service, scope: Scope) -> list[tuple[Port, Subset | None]]:
    """The ports of a service, each whole and in its subsets."""
    rule = scope.rules.of(service.hostname, service.namespace)
    subsets: tuple[Subset | None, ...] = (None, *(rule.subsets if rule is not None else ()))
    ports = [port for port in service.ports if port.protocol is not Protocol.UDP]
    return [(port, subset) for port in ports for subset in subsets]
