"""Where a destination leads: its cluster, and what a route must know of how that is called."""

from collections.abc import Mapping

from msgspec import Struct

from linnet.model.policy import HashKey, TlsMode
from linnet.model.route import Destination
from linnet.model.service import Protocol, Service
from linnet.translate import names
from linnet.translate.scope import Rules, policy_of, subset_named


class Target(Struct, frozen=True, cache_hash=True):
    """A cluster. `own_tls`: it speaks TLS that is not the mesh's; `http2`: requests travel as HTTP/2."""

    cluster: str
    key: HashKey | None = None
    own_tls: bool = False
    host: str = ""
    port: int = 0
    tcp_idle_timeout: float = 0


NOWHERE = Target(names.BLACK_HOLE)


class Targets:
    """Finds the target of a destination among the services of a view."""

    def __init__(self, services: Mapping[str, Service], rules: Rules) -> None:
        self._services, self._rules = services, rules

    def of(self, destination: Destination, listener_port: int) -> Target:
        """The target; a service, port or subset that does not exist leads nowhere.

        Source: Istio: a port that is not said is the service's only one, or that of the listener.
        """
        service = self._services.get(destination.host)
        if service is None:
            return NOWHERE
        number = destination.port
        if not number:
            number = service.ports[0].number if len(service.ports) == 1 else listener_port
        port = next((p for p in service.ports if p.number == number), None)
        if port is None or port.protocol is Protocol.UDP:
            return NOWHERE
        rule = self._rules.of(service.hostname, service.namespace)
        subset = subset_named(rule, destination.subset) if destination.subset else None
        if destination.subset and subset is None:
            return NOWHERE
        policy = policy_of(rule, subset, number)
        return Target(
            cluster=names.outbound(number, service.hostname, destination.subset),
            key=policy.balancer.key if policy.balancer is not None else None,
            own_tls=policy.tls is not None and policy.tls.mode in {TlsMode.SIMPLE, TlsMode.MUTUAL},
            host=service.hostname,
            port=number,
            tcp_idle_timeout=policy.pool.tcp_idle_timeout if policy.pool is not None else 0,
        )
