"""Objects that claim the same thing: the first in the order of claims has it, the others say so (law L5)."""

from collections.abc import Iterator, Mapping, Sequence

from linnet.model.gateway import Gateway, Server, ServerProtocol
from linnet.model.problem import Problem, Ref
from linnet.model.route import VirtualService

_SECURE = {ServerProtocol.HTTPS, ServerProtocol.TLS}


def conflicts(
    virtual_services: Sequence[VirtualService], gateways: Sequence[Gateway]
) -> Mapping[Ref, tuple[Problem, ...]]:
    """The problems of all losers; both sequences are in the order of claims."""
    found: dict[Ref, list[Problem]] = {}
    for problem in (*_of_hosts(virtual_services), *_of_servers(gateways)):
        found.setdefault(problem.about, []).append(problem)
    return {about: tuple(held) for about, held in found.items()}


def _of_hosts(held: Sequence[VirtualService]) -> Iterator[Problem]:
    """Sidecars obey one VirtualService for a host. Those that no caller sees both of do not meet."""
    claims: dict[tuple[str, bool], list[VirtualService]] = {}
    for one in held:
        if "mesh" not in one.gateways:
            continue
        for number, host in enumerate(one.hosts):
            for for_requests in _uses(one):
                others = claims.setdefault((host, for_requests), [])
                winner = next((other for other in others if _meet(one, other)), None)
                if winner is not None:
                    message = f"{host} is routed by {winner.namespace}/{winner.name}, which is older"
                    about = Ref("VirtualService", one.namespace, one.name)
                    yield Problem(about, "Conflict", f"spec.hosts[{number}]", message)
                others.append(one)


def _uses(one: VirtualService) -> Iterator[bool]:
    """True for its rules for requests, False for those for connections."""
    if one.http:
        yield True
    if one.tcp or one.tls:
        yield False


def _meet(one: VirtualService, other: VirtualService) -> bool:
    if "*" in one.exported_to or "*" in other.exported_to:
        return bool(one.exported_to) and bool(other.exported_to)
    return bool(one.exported_to & other.exported_to)


def _of_servers(held: Sequence[Gateway]) -> Iterator[Problem]:
    """Servers of gateways with one selector share ports: one protocol each, one server for a TLS name."""
    protocols: dict[tuple[object, str, int], tuple[str, Gateway]] = {}
    server_names: dict[tuple[object, str, int, str], Gateway] = {}
    for gateway in held:
        about = Ref("Gateway", gateway.namespace, gateway.name)
        for server in gateway.servers:
            place = (gateway.selector, server.bind, server.port)
            kind, first = protocols.setdefault(place, (_kind(server), gateway))
            path = f"spec.servers[{server.index}]"
            if kind != _kind(server):
                message = f"port {server.port} speaks {kind} for {first.full_name}, which is older"
                yield Problem(about, "Conflict", f"{path}.port", message)
                continue
            for _, host in server.hosts if server.protocol in _SECURE else ():
                winner = server_names.setdefault((*place, host), gateway)
                if winner is not gateway:
                    message = f"{host} on port {server.port} belongs to {winner.full_name}, which is older"
                    yield Problem(about, "Conflict", f"{path}.hosts", message)


def _kind(server: Server) -> str:
    return "TLS" if server.protocol in _SECURE else server.protocol.value
