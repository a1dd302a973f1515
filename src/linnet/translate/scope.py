"""What one outbound view sees of a snapshot: services, and the rule that governs each."""

from collections.abc import Iterable, Mapping, Sequence

from linnet.ingest.names import host_matches, order
from linnet.model.policy import DestinationRule, PortPolicy, Subset, TrafficPolicy
from linnet.model.route import VirtualService
from linnet.model.service import Service, ServiceKey
from linnet.model.sidecar import Sight, sees


def rules_in_sight(rules: Sequence[VirtualService], sight: Sight | None) -> Sequence[VirtualService]:
    """The VirtualServices for hosts that may be called."""
    if sight is None:
        return rules
    return tuple(one for one in rules if any(sees(sight, one.namespace, host) for host in one.hosts))


def visible(
    services: Mapping[ServiceKey, Service],
    namespace: str,
    sight: Sight | None = None,
    rules: Iterable[VirtualService] = (),
) -> tuple[Service, ...]:
    """The services that proxies of a namespace may call, one for each hostname, in the order of claims.

    Of several with one hostname the proxy's own namespace comes first, then Kubernetes' own, then the oldest.
    Where the sight is narrowed, the services that the rules in sight send requests to are seen as well.
    Source: Istio, Sidecar.
    """
    wanted = _destinations(rules) if sight is not None else frozenset()
    chosen: dict[str, Service] = {}
    for service in services.values():
        if not service.visible_from(namespace):
            continue
        hidden = sight is not None and not sees(sight, service.namespace, service.hostname)
        if hidden and service.hostname not in wanted:
            continue
        other = chosen.get(service.hostname)
        if other is None or _rank(service, namespace) < _rank(other, namespace):
            chosen[service.hostname] = service
    return tuple(sorted(chosen.values(), key=order))


def _destinations(rules: Iterable[VirtualService]) -> frozenset[str]:
    found: set[str] = set()
    for rule in rules:
        for route in rule.http:
            found.update(one.destination.host for one in route.destinations)
            found.update(one.destination.host for one in route.mirrors)
        for connections in (*rule.tls, *rule.tcp):
            found.update(one.destination.host for one in connections.destinations)
    return frozenset(found)


def _rank(service: Service, namespace: str) -> tuple[bool, bool, tuple[float, str, str]]:
    return (service.namespace != namespace, not service.kubernetes, order(service))


class Rules:
    """DestinationRules, ready to be asked for a service.

    Source: Istio: rules of the proxy's namespace, then of the service's, then of the root namespace; in each
    the most specific host; rules for one host are one, the older one's policy and the subsets of all.
    """

    def __init__(self, rules: Iterable[DestinationRule], namespace: str, root: str) -> None:
        self._namespace, self._root = namespace, root
        self._exact: dict[tuple[str, str], list[DestinationRule]] = {}
        self._wild: dict[str, dict[str, list[DestinationRule]]] = {}
        for rule in rules:
            if not rule.visible_from(namespace):
                continue
            if rule.host.startswith("*"):
                self._wild.setdefault(rule.namespace, {}).setdefault(rule.host, []).append(rule)
            else:
                self._exact.setdefault((rule.namespace, rule.host), []).append(rule)
        self._merged: dict[tuple[str, str], DestinationRule | None] = {}

    def of(self, hostname: str, namespace: str) -> DestinationRule | None:
        """The rule for a service; the same object every time."""
        key = (hostname, namespace)
        if key not in self._merged:
            self._merged[key] = self._find(hostname, namespace)
        return self._merged[key]

    def _find(self, hostname: str, namespace: str) -> DestinationRule | None:
        for home in dict.fromkeys((self._namespace, namespace, self._root)):
            exact = self._exact.get((home, hostname))
            if exact:
                return _one(exact)
            wild = [host for host in self._wild.get(home, ()) if host_matches(host, hostname)]
            if wild:
                return _one(self._wild[home][max(wild, key=len)])
        return None


def _one(rules: list[DestinationRule]) -> DestinationRule:
    if len(rules) == 1:
        return rules[0]
    subsets: dict[str, Subset] = {}
    for rule in rules:
        for subset in rule.subsets:
            subsets.setdefault(subset.name, subset)
    first = rules[0]
    return DestinationRule(
        namespace=first.namespace,
        name=first.name,
        created=first.created,
        host=first.host,
        exported_to=first.exported_to,
        policy=first.policy,
        subsets=tuple(subsets.values()),
    )


def policy_of(rule: DestinationRule | None, subset: Subset | None, port: int) -> PortPolicy:
    """How one port of a service, or of a part of it, is called: the subset's word before the rule's."""
    usual = (rule.policy if rule is not None else TrafficPolicy()).of(port)
    if subset is None or subset.policy is None:
        return usual
    own = subset.policy.of(port)
    return PortPolicy(
        pool=own.pool or usual.pool,
        balancer=own.balancer or usual.balancer,
        outlier=own.outlier or usual.outlier,
        tls=own.tls or usual.tls,
        retry_budget=own.retry_budget or usual.retry_budget,
    )


def subset_named(rule: DestinationRule | None, name: str) -> Subset | None:
    """A subset by its name."""
    return next((one for one in rule.subsets if one.name == name), None) if rule is not None else None
