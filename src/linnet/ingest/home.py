"""Where a VirtualService lives: what names in it mean, and for which proxies its rules are."""

from collections.abc import Iterable, Mapping

from linnet.ingest import values
from linnet.ingest.names import full_gateway, full_host
from linnet.ingest.report import Report
from linnet.model.route import Destination, Source
from linnet.objects import virtual_service as written


class Home:
    """Where an object lives: what short names in it mean, and for whom it is by default."""

    def __init__(self, namespace: str, domain: str, gateways: Iterable[str]) -> None:
        self.namespace, self._domain = namespace, domain
        self.gateways = frozenset(full_gateway(one, namespace) for one in gateways) or frozenset({"mesh"})

    def host(self, name: str) -> str:
        """A host in full."""
        return full_host(name, self.namespace, self._domain)

    def source(
        self,
        gateways: tuple[str, ...],
        labels: Mapping[str, str] | None,
        namespace: str | None,
        port: int | None,
    ) -> Source:
        """For which proxies a match is."""
        named = frozenset(full_gateway(one, self.namespace) for one in gateways)
        return Source(named or self.gateways, frozenset((labels or {}).items()), namespace or "", port or 0)

    def destination(self, held: written.Destination, path: str, report: Report) -> Destination | None:
        """A destination in full, or None if it cannot be one."""
        host = self.host(held.host)
        if not values.is_domain(host) or host.startswith("*"):
            report.invalid(f"{path}.host", f"{held.host!r} is not the name of a service")
            return None
        number = held.port.number if held.port is not None else None
        if number is not None and not values.is_port(number):
            report.invalid(f"{path}.port.number", f"{number} is not the number of a port")
            return None
        return Destination(host, held.subset or "", number or 0)
